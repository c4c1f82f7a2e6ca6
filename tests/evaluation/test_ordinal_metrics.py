import pytest
import torch

from open_dpt.evaluation.ordinal_metrics import OrdinalMetrics, whdr_counts

# Disparity, larger is nearer: 9 at (0, 0), 1 at (0, 1), 1 at (1, 0), unknown at (1, 1).
MAP = torch.tensor([[9.0, 1.0], [1.0, torch.nan]])
NEAR, FAR, AS_FAR, UNKNOWN = (0, 0), (0, 1), (1, 0), (1, 1)
FARTHER, NEARER = 1, -1


@pytest.mark.parametrize(
    ("a", "b", "relation", "to_the_letter", "tie"),
    [
        (FAR, NEAR, FARTHER, 0, 0),
        (NEAR, FAR, FARTHER, 1, 0),
        (NEAR, FAR, NEARER, 0, 0),
        (FAR, NEAR, NEARER, 1, 0),
        (FAR, AS_FAR, FARTHER, 1, 1),
        (FAR, AS_FAR, NEARER, 0, 1),
        (FAR, UNKNOWN, NEARER, 1, 0),
        (UNKNOWN, FAR, FARTHER, 1, 0),
    ],
)
def test_one_pair(a, b, relation, to_the_letter, tie):
    points = [(*a, *b, relation)]
    assert whdr_counts(MAP, points) == (to_the_letter, tie, 1)
    assert whdr_counts(MAP, points, ties="wrong") == (max(to_the_letter, tie), tie, 1)


@pytest.mark.parametrize("ties", ["as-nearer", "wrong"])
def test_agrees_with_numpy_over_several_images(reference, ties):
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randint(0, 4, size, generator=generator).float() for size in ((6, 9), (5, 3))]
    points = []
    for one in maps:
        places = [torch.randint(0, end, (40, 1), generator=generator) for end in (*one.shape, *one.shape)]
        points.append(torch.cat([*places, 1 - 2 * torch.randint(0, 2, (40, 1), generator=generator)], 1))
    metrics = OrdinalMetrics(ties)
    metrics.update(maps, points)
    expected = [
        reference.whdr(one.tolist(), of_one.tolist(), ties == "wrong")
        for one, of_one in zip(maps, points, strict=True)
    ]
    got = metrics.compute()
    assert got["whdr"] == pytest.approx(sum(expected) / 2) and 0 < got["whdr"] < 1
    assert (got["pairs"], got["images"]) == (80, 2) and got["wrong"] == pytest.approx(80 * got["whdr"])


def test_one_by_one_merged_and_without_pairs():
    together, parts = OrdinalMetrics(), [OrdinalMetrics(), OrdinalMetrics()]
    for number in range(4):
        points = [(*FAR, *NEAR, FARTHER if number else NEARER)]
        together.update(MAP, points)
        parts[number % 2].update(MAP, torch.tensor(points))
    parts[0].merge(parts[1].state())
    assert parts[0].compute() == together.compute() and together.compute()["whdr"] == 0.25
    together.update([MAP], [[]])
    assert together.compute()["images"] == 4
    empty = OrdinalMetrics()
    empty.update(MAP, [])
    with pytest.raises(ValueError, match="need a pair"):
        empty.compute()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: whdr_counts(MAP, [(0, 0, 0, 2, 1)]), r"inside the map of 2 x 2 .* got \[0, 0, 0, 2, 1\]"),
        (lambda: whdr_counts(MAP, [(-1, 0, 0, 0, 1)]), r"got \[-1, "),
        (lambda: whdr_counts(MAP, [(0, 0, 0, 1, 0)]), "relation 1 or -1, got"),
        (lambda: whdr_counts(MAP[None], [(0, 0, 0, 1, 1)]), r"got \(1, 2, 2\)"),
        (lambda: whdr_counts(MAP, [], ties="equal"), "as-nearer, wrong, got 'equal'"),
        (lambda: OrdinalMetrics("equal"), "got 'equal'"),
        (lambda: OrdinalMetrics().update([MAP, MAP], [[]]), "got 1 for 2 maps"),
    ],
)
def test_what_cannot_be_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
