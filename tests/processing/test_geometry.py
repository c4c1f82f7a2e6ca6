"""Intrinsics follow the pixels through resize, padding, crop and flip, and back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from open_dpt.processing import Geometry, crop_sample, flip_sample
from open_dpt.processing.geometry import crop_intrinsics, flip_intrinsics

K = torch.tensor([[520.0, 0.5, 319.0], [0.0, 515.0, 241.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
POINT = torch.tensor([0.4, -0.3, 2.0], dtype=torch.float64)
SIDES = st.integers(1, 900)


def project(matrix, point=POINT):
    u, v, w = matrix @ point
    return torch.stack([u / w, v / w])


@settings(deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.tuples(*[st.integers(0, 40)] * 4))
def test_a_point_still_projects_to_its_pixel(height, width, new_height, new_width, padding):
    way = Geometry((height, width), (new_height, new_width), padding)
    u, v = project(K)
    # The position as a share of the image side, measured from the outer edge, does not change by resizing.
    expected = torch.stack(
        [
            (u + 0.5) / width * new_width - 0.5 + padding[2],
            (v + 0.5) / height * new_height - 0.5 + padding[0],
        ]
    )
    torch.testing.assert_close(project(way.intrinsics(K)), expected)
    torch.testing.assert_close(way.original_intrinsics(way.intrinsics(K)), K)


def test_padding_and_its_inverse():
    way = Geometry((10, 20), (12, 24), (1, 3, 2, 6))
    assert way.output == (16, 32)
    values = torch.rand(2, 12, 24)
    padded = way.pad(values, 7.0)
    assert padded.shape == (2, 16, 32) and (padded[:, 0] == 7).all() and (padded[:, :, -6:] == 7).all()
    assert torch.equal(way.unpad(padded), values)


def one_bright_pixel(row=3, column=5, height=8, width=12):
    image = torch.zeros(3, height, width)
    image[:, row, column] = 1
    matrix = torch.tensor([[10.0, 0.0, column], [0.0, 10.0, row], [0.0, 0.0, 1.0]])
    return {
        "pixel_values": image,
        "labels": image[0].long(),
        "depth_maps": image[1],
        "intrinsics": matrix,
        "name": "a",
    }


@pytest.mark.parametrize("change", [lambda s: crop_sample(s, 2, 1, 5, 9), flip_sample])
def test_crop_and_flip_move_pixels_and_principal_point_together(change):
    sample = change(one_bright_pixel())
    for key in ("pixel_values", "labels", "depth_maps"):
        row, column = (sample[key].reshape(-1, *sample[key].shape[-2:])[0] == 1).nonzero()[0].tolist()
        assert sample["intrinsics"][1, 2] == row and sample["intrinsics"][0, 2] == column
    assert sample["intrinsics"][0, 0] == 10 and sample["name"] == "a"


def test_flip_mirrors_the_scene():
    mirrored = POINT * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    u, v = project(K)
    torch.testing.assert_close(project(flip_intrinsics(K, 640), mirrored), torch.stack([639 - u, v]))
    torch.testing.assert_close(flip_intrinsics(flip_intrinsics(K, 640), 640), K)


def test_crop_of_a_batch():
    batch = torch.stack([K, K])
    assert torch.equal(crop_intrinsics(batch, 4, 9)[:, :2, 2], K[:2, 2].sub(torch.tensor([9.0, 4.0])).expand(2, 2))


def test_crop_outside_and_unequal_sizes():
    with pytest.raises(ValueError, match=r"inside 8 x 12, got rows 4:12"):
        crop_sample(one_bright_pixel(), 4, 0, 8, 12)
    with pytest.raises(ValueError, match="same height and width"):
        flip_sample({"labels": torch.zeros(4, 4), "depth_maps": torch.zeros(4, 5)})
    with pytest.raises(ValueError, match="needs one of"):
        flip_sample({"name": "a"})
