"""Exactness of the disparity, shadows, independence of the batch, and the door's messages."""

import math
import random

import numpy as np
import pytest
import torch

from open_dpt.data.procedural import HELD_OUT, SCENE_TYPES, render_batch, render_scenes
from open_dpt.data.procedural.materials import draw
from open_dpt.data.procedural.scene import Scene


def scene(**settings) -> Scene:
    """An empty scene with a level camera at the origin that looks along x, 90 degrees wide."""
    made = Scene(random.Random(0))
    made.settings |= {"camera": (0.0, 0.0, 0.0), "angles": (0.0, 0.0, 0.0), "fov": (90.0,)} | settings
    return made


def disparity(made: Scene, size: int = 64) -> np.ndarray:
    return render_scenes([made], size, size, "cpu").disparity[0].numpy()


def pixel_grid(size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """u to the right and v downwards on the plane one metre ahead of a 90 degree camera."""
    steps = (np.arange(size) + 0.5) * 2 / size - 1
    return np.meshgrid(steps, steps)


def test_empty_scene_is_sky_at_exactly_zero():
    assert (disparity(scene()) == 0).all()


def test_wall_has_the_depth_along_the_axis_not_along_the_ray():
    made = scene()
    made.box(4.5, 0, -50, 1.0, 100, 100, draw(made.rng, "paint"))
    np.testing.assert_allclose(disparity(made), 1 / 4.0, rtol=1e-5)


@pytest.mark.parametrize("pitch", [0.0, 0.3])
def test_ground_plane_by_hand(pitch):
    made = scene(camera=(0.0, 0.0, 1.5), angles=(0.0, pitch, 0.0))
    made.box(0, 0, -1, 1e4, 1e4, 1, draw(made.rng, "grass"))
    _, v = pixel_grid()
    # A ray (1, v down) of a camera pitched down by p falls by sin p + v cos p per metre of depth.
    fall = math.sin(pitch) + v * math.cos(pitch)
    expected = np.maximum(fall / 1.5, 0)
    near = expected > 0.002  # beyond 500 m the box ends
    np.testing.assert_allclose(disparity(made)[near], expected[near], rtol=1e-4)
    assert (disparity(made)[fall < 0] == 0).all()


def test_sphere_by_hand():
    made = scene()
    made.ball(5, 0, 0, 1, 1, 1, draw(made.rng, "plain"))
    u, v = pixel_grid()
    dd = 1 + u * u + v * v
    root = 25 - dd * 24  # |t d - (5, 0, 0)| = 1
    expected = np.where(root > 0, dd / (5 - np.sqrt(np.maximum(root, 0))), 0)
    clear = np.abs(root) > 0.05  # not the very silhouette
    np.testing.assert_allclose(disparity(made)[clear], expected[clear], rtol=1e-4)


def test_frustum_by_hand():
    made = scene()
    made.cone(6, 0, -3, 2, 1, 6, draw(made.rng, "plain"))  # radius 1.5 - z / 6 round the axis x = 6
    got = disparity(made, 128)
    u, v = pixel_grid(128)
    middle = np.abs(u[0]).argmin()
    column = got[:, middle]
    z = -v[:, middle]  # height per metre of depth; u = 0: x = 6 - radius there, so x = (6 - 1.5) / (1 - z / 6)
    x = 4.5 / (1 - z / 6)
    inside = np.abs(z * x) < 2.8
    np.testing.assert_allclose(column[inside], 1 / x[inside], rtol=2e-3)


def test_turned_box_shows_its_edge():
    made = scene()
    side = 2.0
    made.box(5, 0, -1, side, side, 2, draw(made.rng, "plain"), yaw=math.pi / 4)
    np.testing.assert_allclose(disparity(made, 256).max(), 1 / (5 - side / math.sqrt(2)), rtol=0.01)


def test_nearer_thing_hides_the_farther_one_whatever_the_order():
    for order in ((3, 6), (6, 3)):
        made = scene()
        for x in order:
            made.ball(x, 0, 0, 0.5, 0.5, 0.5, draw(made.rng, "plain"))
        assert disparity(made)[32, 32] == pytest.approx(1 / 2.5, rel=1e-2)


def test_sun_casts_a_shadow_where_geometry_says():
    def floor_light(with_blocker: bool) -> np.ndarray:
        made = scene(camera=(0.0, 0.0, 5.0), angles=(0.0, math.pi / 2, 0.0), key_position=(300.0, 0.0, 300.0))
        white = draw(made.rng, "white")._replace(texture=0, dirt=0.0, specular=0.0)
        made.box(0, 0, -1, 100, 100, 1, white)
        if with_blocker:
            made.box(2, 0, 2, 1, 1, 0.2, white)  # its shadow falls about two metres towards -x: below the camera
        return render_scenes([made], 64, 64, "cpu").image[0].float().mean(0).numpy()

    lit, shaded = floor_light(False), floor_light(True)
    # The camera looks down with its top towards +x; the middle of the picture is the foot of the camera.
    centre = np.s_[30:34, 30:34]
    border = np.s_[54:62, 2:10]
    assert shaded[centre].mean() / shaded[border].mean() < 0.8 * lit[centre].mean() / lit[border].mean()


def test_picture_of_a_seed_does_not_depend_on_its_batch():
    together = render_batch(range(11), (64, 96))
    alone = render_batch([10], (64, 96))
    assert torch.equal(together.image[10], alone.image[0])
    assert torch.equal(together.disparity[10], alone.disparity[0])
    assert not torch.equal(together.image[9], together.image[10])


def test_global_random_state_is_neither_used_nor_changed():
    torch.manual_seed(1)
    random.seed(1)
    first = render_batch([3], (32, 32)).image
    assert torch.initial_seed() == 1
    expected = random.Random(1).random()
    assert random.random() == expected
    assert torch.equal(first, render_batch([3], (32, 32)).image)


@pytest.mark.parametrize("name", [*SCENE_TYPES, *HELD_OUT])
def test_every_scene_type_renders_usable_pictures(name):
    batch = render_batch(range(4), (64, 64), scene_types=[name])
    assert batch.image.dtype == torch.uint8 and batch.image.shape == (4, 3, 64, 64)
    assert batch.disparity.dtype == torch.float32 and batch.disparity.shape == (4, 64, 64)
    assert torch.isfinite(batch.disparity).all() and (batch.disparity >= 0).all()
    assert (batch.disparity > 0).float().mean() > 0.3
    assert (batch.image.float().flatten(1).std(1) > 5).float().mean() >= 0.75  # hardly any picture is blank


def test_sides_need_not_be_multiples_of_the_tile():
    batch = render_batch([5], (50, 70))
    assert batch.image.shape == (1, 3, 50, 70) and batch.disparity.shape == (1, 50, 70)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "seeds: at least one is needed"),
        (([1], (4, 64)), "size: .* got 4 x 64"),
        (([1], (64, 64), "cpu", ["moon"]), "scene_types: .* got 'moon'"),
    ],
)
def test_bad_requests_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        render_batch(*arguments)
