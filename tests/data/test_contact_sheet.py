import numpy as np
import pytest
import torch

from open_dpt.data.contact_sheet import draw_contact_sheet


def sample(height=60, width=80, **targets):
    image = torch.full((3, height, width), 200, dtype=torch.uint8)
    return {"image": image, "name": "photos/long name of a photo.jpg", "scene": None, "frame": None} | targets


def depth(height=60, width=80, holes=False):
    metres = torch.linspace(1, 4, height)[:, None].expand(height, width).clone()
    if holes:
        metres[:, : width // 2] = 0
    return {"depth": metres, "valid": metres > 0}


def ink(sheet):
    """Pixels that are not paper."""
    return (np.abs(sheet.astype(int) - sheet[0, 0]) > 8).any(-1)


def test_near_is_bright_and_unknown_is_striped():
    sheet = draw_contact_sheet([sample(**depth(holes=True))], title="kitchen")
    assert sheet.dtype == np.uint8 and sheet.ndim == 3
    columns = np.nonzero(ink(sheet)[60:])[1]
    tile = (columns.max() - columns.min() - 12) // 3
    middle = sheet[60:, columns.min() + tile + 6 : columns.min() + 2 * tile + 6].astype(float).sum(-1)
    known, unknown = middle[:, tile // 2 + 10 : -10], middle[:, 10 : tile // 2 - 10]
    assert known[5].mean() > known[tile // 2].mean()  # the top rows are the nearest
    assert len(np.unique(unknown[: tile // 2])) == 2


def test_sparse_points_are_drawn_large_enough_to_be_seen():
    values = torch.zeros(600, 2000)
    values[::20, ::20] = 5 + torch.rand(30, 100)
    sheet = draw_contact_sheet([sample(600, 2000, depth=values, valid=values > 0)], title="street")
    colored = (sheet.max(-1).astype(int) - sheet.min(-1) > 60).mean()
    assert colored > 0.03  # a four-hundredth of the pixels, of one tile in three


@pytest.mark.parametrize("relation", [1, -1])
def test_of_a_pair_the_near_point_is_red(relation):
    pairs = torch.tensor([[10, 20, 50, 60, relation]])
    sheet = draw_contact_sheet([sample(ordinal=pairs)], title="diw").astype(int)
    red, blue = (np.argwhere(sheet[..., one] - sheet[..., 2 - one] > 100).mean(0) for one in (0, 2))
    assert len(red) and len(blue)
    assert (red > blue).all() == (relation == 1)  # the second point lies below and to the right


def test_every_class_of_the_sheet_is_in_the_legend():
    labels = torch.arange(4).repeat_interleave(20).expand(60, 80).clone()
    labels[:5] = 255
    with_label = sample(label=labels)
    few = draw_contact_sheet([with_label], title="x", class_names=["a", "b", "c", "d"])
    # 4 classes and the stripes of the ignored; one id more than there are classes is loud.
    outside = draw_contact_sheet([with_label], title="x", class_names=["a", "b", "c"])
    assert not (few == (255, 0, 255)).all(-1).any()
    assert (outside == (255, 0, 255)).all(-1).any()
    assert few.shape[0] > draw_contact_sheet([sample(**depth())], title="x").shape[0]


@pytest.mark.parametrize("count", [1, 2, 3, 6, 7])
@pytest.mark.parametrize("shape", [(60, 80), (80, 30), (30, 300)])
def test_any_number_and_shape_fits(count, shape):
    samples = [sample(*shape, **depth(*shape)) for _ in range(count)]
    sheet = draw_contact_sheet(samples, title="a title that is much longer than one would expect of a title " * 3)
    assert not ink(sheet)[:, -10:].any() and not ink(sheet)[-5:].any()


def test_images_without_a_target_and_maps_without_a_pixel():
    empty = {"depth": torch.zeros(60, 80), "valid": torch.zeros(60, 80, dtype=torch.bool)}
    draw_contact_sheet([sample(), sample(**empty)], title="x")
    with pytest.raises(ValueError, match="at least one is needed"):
        draw_contact_sheet([], title="x")
