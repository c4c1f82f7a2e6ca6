from itertools import islice

import pytest
import torch

from open_dpt.data.procedural import write_cache
from open_dpt.data.procedural.loading import ProceduralLoader


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return write_cache(tmp_path_factory.mktemp("scenes"), count=5, size=32, workers=0)


def take(cache, count, first=0, **options):
    loader = ProceduralLoader(cache, **{"batch_size": 2, "size": 24, "render_size": 16} | options)
    return list(islice(loader.batches(first), count))


def same(batches, others):
    assert len(batches) == len(others)
    assert all(torch.equal(a[key], b[key]) for a, b in zip(batches, others, strict=True) for key in a)


def test_batches_hold_what_a_model_takes(cache):
    batch = take(cache, 1)[0]
    shapes = {key: (tuple(value.shape), value.dtype) for key, value in batch.items()}
    assert shapes == {
        "pixel_values": ((2, 3, 24, 24), torch.float32),
        "labels": ((2, 24, 24), torch.float32),
        "valid_mask": ((2, 24, 24), torch.bool),
    }
    assert batch["valid_mask"].all() and -1 <= batch["pixel_values"].min() < batch["pixel_values"].max() <= 1


@pytest.mark.parametrize("source", ["cached", "rendered"])
def test_any_batch_can_be_the_first_and_processes_share_them(cache, source):
    scenes = cache if source == "cached" else None
    whole = take(scenes, 4)
    same(take(scenes, 2, first=2), whole[2:])
    parts = [take(scenes, 4, batch_size=1, rank=rank, world_size=2) for rank in range(2)]
    for key in whole[0]:
        halves = [[batch[key] for batch in part] for part in parts]
        joined = torch.cat([torch.cat(pair) for pair in zip(*halves, strict=True)])
        torch.testing.assert_close(joined, torch.cat([batch[key] for batch in whole]))


def test_workers_do_not_change_the_batches(cache):
    before = torch.get_rng_state()
    same(take(cache, 4, num_workers=2), take(cache, 4))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_size_can_follow_the_batch(cache):
    batches = take(cache, 3, first=4, size=lambda batch: 8 * batch)
    assert [batch["labels"].shape[-1] for batch in batches] == [32, 40, 48]


def test_the_seed_changes_scenes_and_views(cache):
    for scenes in (cache, None):
        assert not torch.equal(take(scenes, 1, seed=1)[0]["labels"], take(scenes, 1, seed=2)[0]["labels"])


def test_only_a_cache_has_an_epoch(cache):
    assert len(ProceduralLoader(cache, batch_size=2, size=8)) == 5
    with pytest.raises(TypeError, match="there is no epoch"):
        len(ProceduralLoader(None, batch_size=2, size=8))
