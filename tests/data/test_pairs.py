import pytest

from open_dpt.data.layout import DataLayoutError, MissingFilesWarning
from open_dpt.data.pairs import pair_by_stem

LAYOUT = "images/* and masks/*"


@pytest.fixture
def pair(tmp_path):
    def make(images, masks, **options):
        for folder, names in (("images", images), ("masks", masks)):
            (tmp_path / folder).mkdir(exist_ok=True)
            for name in names:
                (tmp_path / folder / name).parent.mkdir(exist_ok=True)
                (tmp_path / folder / name).touch()
        folders = {"image": tmp_path / "images", "label": tmp_path / "masks"}
        return pair_by_stem(folders, root=tmp_path, layout=LAYOUT, **options)

    return make


def test_matched_in_order_whatever_the_suffix_and_case(pair):
    pairs = pair(["b.JPG", "a.png", "s/a.jpeg", "._a.png", "notes.txt"], ["a.png", "b.npy", "s/a.PNG", "Thumbs.db"])
    assert [each["stem"] for each in pairs] == ["a", "b", "s/a"]
    assert [each["label"].name for each in pairs] == ["a.png", "b.npy", "a.PNG"]


def test_files_without_a_partner_are_counted_and_named(pair):
    with pytest.raises(DataLayoutError) as error:
        pair(["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"], ["a.png", "z.png"])
    assert "4 in images/ (b.jpg, c.jpg, d.jpg and 1 more)" in str(error.value)
    assert "1 in masks/ (z.png)" in str(error.value)
    assert "missing=skip) to use the 1 pairs" in str(error.value)


def test_or_left_out_with_a_warning_that_holds_them_all(pair):
    with pytest.warns(MissingFilesWarning) as caught:
        pairs = pair(["a.jpg", "b.jpg"], ["a.png", "z.png"], missing="skip")
    assert [each["stem"] for each in pairs] == ["a"]
    assert [path.name for path in caught[0].message.files] == ["b.jpg", "z.png"]


def test_when_nothing_matches_both_sides_are_shown(pair):
    with pytest.raises(DataLayoutError, match=r"images/ holds rgb_1; masks/ holds label_1\. Expected inside"):
        pair(["rgb_1.jpg"], ["label_1.png"], missing="skip")


def test_an_empty_folder_says_what_it_should_hold(pair):
    with pytest.raises(DataLayoutError, match=r"masks/ holds no \.png"):
        pair(["a.jpg"], [])


def test_one_name_twice_is_refused(pair):
    with pytest.raises(DataLayoutError, match=r"a\.png: has the same name as a\.jpg up to the suffix"):
        pair(["a.jpg", "a.png"], ["a.png"])
