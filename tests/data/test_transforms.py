import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from open_dpt.data.batches import generator_at
from open_dpt.data.transforms import TrainTransform

HEIGHT, WIDTH = 40, 56
CAMERA = torch.tensor([[50.0, 0, 27], [0, 48, 21], [0, 0, 1]], dtype=torch.float64)


def numbered(height=HEIGHT, width=WIDTH):
    """A sample in which every pixel says where it lies: red 4 * column, green 4 * row, maps number 1, 2, 3 ..."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    numbers = 1 + y * width + x
    image = torch.stack([4 * x, 4 * y, 0 * x]).clamp(max=255).to(torch.uint8)
    depth = numbers.float()
    return {
        "image": image,
        "depth": depth,
        "label": numbers,
        "valid": torch.ones_like(depth, dtype=torch.bool),
        "intrinsics": CAMERA,
    }


def place(numbers, width=WIDTH):
    """Column and row that a pixel's number stands for."""
    return (numbers.long() - 1) % width, (numbers.long() - 1) // width


def apply(sample, size=(24, 32), seed=0, **options):
    return TrainTransform(size, **options)(sample, generator_at(seed))


ALL = {"rescale": (0.4, 2.5), "rotation": 20.0, "flip": 0.5, "colour": "ssd"}
any_options = st.fixed_dictionaries(
    {
        "size": st.tuples(st.integers(1, 50), st.integers(1, 50)),
        "seed": st.integers(0, 10_000),
        "rescale": st.sampled_from([(1.0, 1.0), (0.3, 1.0), (0.5, 3.0)]),
        "rescale_to": st.sampled_from([None, "cover", 45]),
        "rotation": st.sampled_from([0.0, 2.5, 90.0]),
        "flip": st.sampled_from([0.0, 0.5, 1.0]),
    }
)
any_size = st.tuples(st.integers(1, 60), st.integers(1, 60))


@settings(max_examples=60, deadline=None)
@given(any_size, any_options, st.integers(0, 99))
def test_class_ids_are_never_invented(source, options, seed):
    label = torch.randint(0, 150, source, generator=generator_at(seed))
    sample = {"image": torch.zeros(3, *source, dtype=torch.uint8), "label": label}
    result = apply(sample, targets="label", **options)
    assert result["labels"].dtype == torch.int64 and result["labels"].shape == options["size"]
    assert result["pixel_values"].shape == (3, *options["size"])
    assert set(result["labels"].unique().tolist()) <= {*label.unique().tolist(), 255}
    assert "valid_mask" not in result


@settings(max_examples=60, deadline=None)
@given(any_size, any_options, st.integers(0, 99))
def test_depth_is_never_mixed_and_holes_stay_invalid(source, options, seed):
    depth = torch.rand(source, generator=generator_at(seed)) + 1
    depth[depth < 1.3] = 0  # holes as read_sample marks them
    depth[depth > 1.9] = math.inf
    marked = torch.rand(source, generator=generator_at(seed, 1)) < 0.8
    sample = {"image": torch.zeros(3, *source, dtype=torch.uint8), "depth": depth, "valid": marked}
    result = apply(sample, **options)
    good = (depth > 0) & depth.isfinite() & marked
    labels, valid = result["labels"], result["valid_mask"]
    assert labels.dtype == torch.float32 and valid.dtype == torch.bool
    assert set(labels[valid].tolist()) <= set(depth[good].tolist())
    assert (labels[~valid] == 0).all()


@settings(max_examples=60, deadline=None)
@given(any_options)
def test_camera_points_project_to_the_pixels_that_show_them(options):
    result = apply(numbered(), **options)
    row, column = result["valid_mask"].nonzero().unbind(1)
    x, y = place(result["labels"][row, column])
    # The points of the scene that the marked source pixels show, each at its depth.
    pixels = torch.stack([x, y, torch.ones_like(x)]).double()
    points = torch.linalg.inv(CAMERA) @ pixels * result["labels"][row, column]
    projected = result["intrinsics"] @ points
    shown = projected[:2] / projected[2]
    # A result pixel shows the nearest source pixel: at most half of one away in each direction of the source.
    back = torch.linalg.inv(result["intrinsics"] @ torch.linalg.inv(CAMERA))[:2, :2]
    distance = back @ (shown - torch.stack([column, row]))
    assert (distance.abs() <= 0.5 + 1e-4).all()


@settings(max_examples=60, deadline=None)
@example({"size": (1, 2), "seed": 3, "rescale": (1.0, 1.0), "rescale_to": "cover", "rotation": 90.0, "flip": 0.0})
@given(any_options)
def test_image_and_maps_stay_on_the_same_pixels(options):
    result = apply(numbered(), **options)
    valid = result["valid_mask"]
    x, y = place(result["labels"][valid])
    image = (result["pixel_values"][:2, :, :][:, valid] + 1) / 2 * 255 / 4
    # Of the axis that shrinks most: at a few pixels, rounding to whole ones changes the aspect ratio.
    shrink = 1 / torch.linalg.svdvals((result["intrinsics"] @ torch.linalg.inv(CAMERA))[:2, :2]).min().item()
    # Half a pixel for the nearest one, a quarter for whole brightness levels, and at the border of a shrunk image the
    # mean of what is left of the filter's window.
    tolerance = 0.5 + 0.26 + 0.5 * max(1, shrink)
    assert ((image - torch.stack([x, y])).abs() <= tolerance).all()


def test_nothing_happens_when_everything_is_switched_off():
    sample = numbered()
    result = apply(sample, (HEIGHT, WIDTH), flip=0)
    torch.testing.assert_close((result["pixel_values"] + 1) / 2, sample["image"] / 255, atol=1e-6, rtol=0)
    assert torch.equal(result["labels"], sample["depth"]) and result["valid_mask"].all()
    assert torch.equal(result["intrinsics"], CAMERA)


@settings(max_examples=25, deadline=None)
@given(any_options)
def test_a_mirrored_view_is_the_mirror_image_of_the_other(options):
    plain, mirrored = (apply(numbered(), **options | {"flip": flip}) for flip in (0.0, 1.0))
    for key in ("pixel_values", "labels", "valid_mask"):
        torch.testing.assert_close(mirrored[key], plain[key].flip(-1), atol=0.02, rtol=0)


def test_the_same_generator_gives_the_same_view_and_nothing_else_is_touched():
    sample, before = numbered(), torch.get_rng_state()
    copy = {key: value.clone() for key, value in sample.items()}
    first, again, other = (apply(sample, seed=seed, **ALL) for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["pixel_values"], other["pixel_values"])
    assert all(torch.equal(sample[key], copy[key]) for key in sample)
    assert torch.equal(torch.get_rng_state(), before)


def test_settings_do_not_change_how_many_numbers_are_drawn():
    plain, all_on = generator_at(0), generator_at(0)
    TrainTransform((8, 8), flip=0)(numbered(), plain)
    TrainTransform((8, 8), **ALL)(numbered(), all_on)
    assert torch.equal(plain.get_state(), all_on.get_state())


@pytest.mark.parametrize("rotation", [0.0, 1e-4])
def test_a_small_image_is_padded_to_the_right_and_below(rotation):
    sample = numbered(10, 12) | {"image": torch.full((3, 10, 12), 200, dtype=torch.uint8)}
    depth = apply(sample, (20, 30), flip=0, rotation=rotation, colour="ssd")
    inside = torch.zeros(20, 30, dtype=torch.bool)
    inside[:10, :12] = True
    assert torch.equal(depth["valid_mask"], inside)
    assert (depth["pixel_values"][:, ~inside] == -1).all() and (depth["pixel_values"][:, inside] > -1).all()
    label = apply(sample, (20, 30), targets="label", flip=0, rotation=rotation)["labels"]
    assert (label[~inside] == 255).all() and torch.equal(label[inside], sample["label"].flatten())


def test_black_outside_is_black_before_normalisation():
    result = apply(numbered(10, 12), (20, 30), image_mean=(0.485, 0.456, 0.406), image_std=(0.229, 0.224, 0.225))
    torch.testing.assert_close(
        result["pixel_values"][:, -1, -1], -torch.tensor([0.485 / 0.229, 0.456 / 0.224, 0.406 / 0.225])
    )


def test_covering_fills_the_result_and_keeps_the_aspect():
    for source, size in (((30, 60), (24, 32)), ((60, 30), (24, 32)), ((10, 11), (40, 40))):
        results = [apply(numbered(*source), size, seed, rescale_to="cover", rescale=(1, 1.5)) for seed in range(20)]
        assert all(result["valid_mask"].all() for result in results)
        scales = torch.stack(
            [(result["intrinsics"] @ torch.linalg.inv(CAMERA)).diagonal()[:2].abs() for result in results]
        )
        least = max(size[0] / source[0], size[1] / source[1])
        assert (scales >= least * 0.98).all() and (scales <= least * 1.5 * 1.05).all()
        assert (scales[:, 0] / scales[:, 1] - 1).abs().max() < 0.5 / 10  # half a pixel of the shortest side


def test_the_longer_side_is_a_uniform_whole_number():
    """Zhang et al.: 520 and (0.5, 2.0) mean 260 to 1040; a tenth of that here."""
    transform = TrainTransform((48, 48), rescale_to=52, rescale=(0.5, 2.0), flip=0)
    scales = [transform(numbered(), generator_at(seed))["intrinsics"][0, 0] / CAMERA[0, 0] for seed in range(800)]
    sides = torch.stack(scales) * WIDTH
    assert (sides - sides.round()).abs().max() < 1e-9
    counts = torch.bincount(sides.round().long(), minlength=105)
    assert counts[:26].sum() == 0 and len(counts) == 105 and (counts[26:] > 0).all()


def test_crops_reach_every_place():
    views = [apply(numbered(), (HEIGHT - 2, WIDTH - 3), seed, flip=0)["labels"][0, 0].item() for seed in range(300)]
    assert set(views) == {1 + row * WIDTH + column for row in range(3) for column in range(4)}


def test_rotation_goes_both_ways_up_to_its_limit():
    angles = []
    for seed in range(100):
        linear = (apply(numbered(), seed=seed, rotation=2.5, flip=0)["intrinsics"] @ torch.linalg.inv(CAMERA))[:2, :2]
        angles.append(math.degrees(math.atan2(linear[0, 1], linear[0, 0])))
    assert -2.5 <= min(angles) < -2.2 and 2.2 < max(angles) <= 2.5


def test_half_of_the_views_are_mirrored():
    mirrored = sum(apply(numbered(), seed=seed)["intrinsics"][0, 0] < 0 for seed in range(400))
    assert 160 < mirrored < 240


@pytest.mark.parametrize("rotation", [0.0, 45.0])
def test_fine_patterns_turn_grey_when_shrunk_instead_of_aliasing(rotation):
    y, x = torch.meshgrid(torch.arange(200), torch.arange(200), indexing="ij")
    image = (255 * ((x + y) % 2)).to(torch.uint8).expand(3, -1, -1)
    sample = {"image": image, "depth": torch.ones(200, 200)}
    result = apply(sample, (20, 20), rescale=(0.4, 0.4), rotation=rotation)
    inside = result["valid_mask"]  # a corner of the view may lie outside
    assert inside.float().mean() > 0.5 and result["pixel_values"][:, inside].abs().max() < 0.05


@pytest.mark.parametrize(
    ("height", "width", "left"), [(375, 1242, 13), (370, 1226, 5), (376, 1241, 12), (352, 1216, 0)]
)
def test_the_kitti_benchmark_crop(height, width, left):
    sample = numbered(height, width)
    result = apply(sample, (352, 1216), crop_first="kb", flip=0)
    assert torch.equal(result["labels"], sample["depth"][height - 352 :, left : left + 1216])
    moved = CAMERA - torch.tensor([[0.0, 0, left], [0, 0, height - 352], [0, 0, 0]])
    torch.testing.assert_close(result["intrinsics"], moved.double())


def test_the_nyu_border_crop():
    sample = numbered(480, 640)
    result = apply(sample, (427, 565), crop_first="nyu-border", flip=0)
    assert torch.equal(result["labels"], sample["depth"][45:472, 43:608])


def test_nothing_of_the_nyu_border_is_seen_however_the_rest_is_moved():
    sample = numbered(480, 640) | {"image": torch.full((3, 480, 640), 255, dtype=torch.uint8)}
    sample["image"][:, 45:472, 43:608] = 0
    result = apply(sample, (416, 544), crop_first="nyu-border", rotation=2.5, rescale=(0.7, 1.2))
    assert (result["pixel_values"] == -1).all()


@pytest.mark.parametrize(("crop", "needs"), [("kb", "at least 352 x 1216"), ("nyu-border", "exactly 480 x 640")])
def test_first_crops_refuse_other_sizes_by_the_file_s_name(crop, needs):
    with pytest.raises(
        ValueError, match=f"room/1.png: crop_first='{crop}' needs images of {needs} pixels, got 40 x 56"
    ):
        apply(numbered() | {"name": "room/1.png"}, crop_first=crop)


def test_depth_counts_strictly_between_its_limits():
    sample = {"image": torch.zeros(3, 1, 5, dtype=torch.uint8), "depth": torch.tensor([[0.5, 1.0, 2.0, 10.0, 11.0]])}
    result = apply(sample, (1, 5), min_depth=1.0, max_depth=10.0, flip=0)
    assert result["valid_mask"].tolist() == [[False, False, True, False, False]]
    assert result["labels"].tolist() == [[0, 0, 2, 0, 0]]


def test_metres_become_disparity_and_relative_disparity_stays_what_it_is():
    image = torch.zeros(3, 1, 4, dtype=torch.uint8)
    metric = {"image": image, "depth": torch.tensor([[0.0, 2.0, 4.0, 90.0]])}
    result = apply(metric, (1, 4), targets="disparity", max_depth=80.0, flip=0)
    assert result["labels"].tolist() == [[0, 0.5, 0.25, 0]] and result["valid_mask"].tolist() == [
        [False, True, True, False]
    ]
    # Zero is the sky in disparity: far away, not missing.
    relative = {
        "image": image,
        "disparity": torch.tensor([[0.0, 7, 8, 9]]),
        "valid": torch.tensor([[True, True, True, False]]),
    }
    result = apply(relative, (1, 4), targets="disparity", max_depth=80.0, flip=0)
    assert result["labels"].tolist() == [[0, 7, 8, 0]] and result["valid_mask"].tolist() == [[True, True, True, False]]


@pytest.mark.parametrize(
    ("targets", "keys", "has"),
    [("depth", ("disparity",), "disparity"), ("label", ("depth",), "depth"), ("disparity", (), "an image only")],
)
def test_a_sample_without_the_target_is_refused_by_its_name(targets, keys, has):
    sample = {"image": torch.zeros(3, 4, 4, dtype=torch.uint8), "name": "a.jpg"} | dict.fromkeys(
        keys, torch.ones(4, 4)
    )
    with pytest.raises(ValueError, match=f"a.jpg: training needs its {targets}, got {has}"):
        apply(sample, targets=targets)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (0, 4)}, "size: must be two positive numbers"),
        ({"targets": "depths"}, "targets: must be one of depth, disparity, label, got 'depths'"),
        ({"rescale": (2.0, 1.0)}, "rescale: .* got \\(2.0, 1.0\\)"),
        ({"rescale_to": "covers"}, "rescale_to: .* got 'covers'"),
        ({"rotation": -1}, "rotation: .* got -1"),
        ({"flip": 2}, "flip: .* got 2"),
        ({"crop_first": "garg"}, "crop_first: must be None or one of kb, nyu-border, got 'garg'"),
        ({"min_depth": 10, "max_depth": 5}, "min_depth: .* got 10"),
        ({"colour": "sdd"}, "colour: must be a number or one of bts-nyu, bts-kitti, ssd, got 'sdd'"),
    ],
)
def test_wrong_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        TrainTransform(**{"size": (8, 8)} | options)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("rotation", [0.0, 10.0])
def test_a_gpu_gives_the_same_view(rotation):
    options = ALL | {"rotation": rotation}
    for seed in range(10):
        cpu = apply(numbered(), seed=seed, **options)
        gpu = apply({key: value.cuda() for key, value in numbered().items()}, seed=seed, **options)
        assert all(value.is_cuda for value in gpu.values())
        # The CPU shrinks in whole brightness levels; colours then stretch the difference.
        assert (gpu["pixel_values"].cpu() - cpu["pixel_values"]).abs().max() < 0.05
        assert (gpu["labels"].cpu() != cpu["labels"]).float().mean() < 0.001
        torch.testing.assert_close(gpu["intrinsics"].cpu(), cpu["intrinsics"])
