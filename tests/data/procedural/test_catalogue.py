"""What is held out stays out; the cameras are as varied as promised."""

from open_dpt.data.procedural import HELD_OUT, HELD_OUT_SEED, SCENE_TYPES, build_scene
from open_dpt.data.procedural.catalogue import SCENES


def test_held_out_types_are_disjoint_from_training_and_never_drawn(monkeypatch):
    assert HELD_OUT and not set(HELD_OUT) & set(SCENE_TYPES)
    drawn = []
    for name, (build, share) in list(SCENES.items()):

        def spy(scene, name=name, build=build):
            drawn.append(name)
            build(scene)

        monkeypatch.setitem(SCENES, name, (spy, share))
    for seed in range(150):
        build_scene(seed)
    assert set(drawn) <= set(SCENE_TYPES)
    assert len(set(drawn)) >= len(SCENE_TYPES) - 1  # the training types do all occur


def test_a_held_out_seed_gives_another_scene():
    assert build_scene(7).rows != build_scene(HELD_OUT_SEED + 7).rows


def test_a_seed_is_the_same_scene_again():
    first, second = build_scene(12), build_scene(12)
    assert first.rows == second.rows and first.settings == second.settings


def test_cameras_cover_the_promised_range():
    settings = [build_scene(seed).settings for seed in range(150)]
    views = [s["fov"][0] for s in settings]
    assert min(views) >= 40 and max(views) <= 90
    assert min(views) < 48 and max(views) > 82
    assert min(s["angles"][1] for s in settings) < 0 < max(s["angles"][1] for s in settings)
    assert max(abs(s["angles"][2]) for s in settings) > 0.05
