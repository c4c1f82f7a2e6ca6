import pytest

from open_dpt.training.panels import SpreadPanels


def test_pictures_are_spread_over_an_evaluation():
    drawn = []
    panels = SpreadPanels(lambda *maps: drawn.append(maps[0]), wanted=3, total=10)
    for index in range(10):
        panels(index, index, None, None)
    assert drawn == [0, 3, 6]
    assert list(panels.pictures) == ["validation_0", "validation_1", "validation_2"]


@pytest.mark.parametrize(("wanted", "total", "expected"), [(0, 10, 0), (4, 2, 2)])
def test_no_more_pictures_than_wanted_or_there(wanted, total, expected):
    panels = SpreadPanels(lambda *maps: None, wanted, total)
    for index in range(total):
        panels(index, None, None, None)
    assert len(panels.pictures) == expected
