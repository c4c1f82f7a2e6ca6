import pytest
from PIL import Image

from open_dpt.data import DataLayoutError, SampleError, load_data, read_sample


@pytest.fixture
def root(tmp_path):
    """DIW_test.csv as it is published, and two images of 6 x 8."""
    (tmp_path / "DIW_test").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (8, 6)).save(tmp_path / "DIW_test" / f"{name}.thumb", "JPEG")
    _annotate(tmp_path, "1,1,6,8,>,8,6", "2,5,3,1,<,8,6")
    return tmp_path


def _annotate(root, first, second, place="DIW_test.csv"):
    (root / place).parent.mkdir(exist_ok=True)
    (root / place).write_text(f"./DIW_test/a.thumb\n{first}\n./DIW_test/b.thumb\n{second}\n")


def test_points_are_rows_first_from_zero_and_a_is_farther_or_not(root):
    rows = load_data("diw", root, "test")
    samples = [read_sample(row) for row in rows]
    assert [sample["ordinal"].tolist() for sample in samples] == [[[0, 0, 5, 7, 1]], [[1, 4, 2, 0, -1]]]
    assert samples[0]["image"].shape == (3, 6, 8) and "depth" not in samples[0]
    assert rows["frame"][:] == ["a", "b"]


def test_the_annotations_may_lie_in_their_own_folder_or_anywhere(root):
    (root / "DIW_test.csv").rename(root / "other.csv")
    with pytest.raises(DataLayoutError, match=r"DIW_test\.csv or DIW_Annotations/DIW_test\.csv not found"):
        load_data("diw", root, "test")
    assert len(load_data("diw", root, "test", annotations="other.csv")) == 2
    _annotate(root, "1,1,6,8,>,8,6", "2,5,3,1,<,8,6", "DIW_Annotations/DIW_test.csv")
    assert len(load_data("diw", root, "test")) == 2


def test_paths_may_be_absolute_and_fractions_are_cut_off(root):
    _annotate(root, "1.9,1,6,8.2,>,8,6", "2,5,3,1,<,8,6")
    text = (root / "DIW_test.csv").read_text().replace("./DIW_test", str(root / "DIW_test"))
    (root / "DIW_test.csv").write_text(text.replace("\n", "\r\n"))
    assert load_data("diw", root, "test")["ordinal"][0] == [[0, 0, 5, 7, 1]]


@pytest.mark.parametrize("line", ["", "1,1,6,8,=,8,6", "1,1,6,>", "y,1,6,8,>,8,6", "nan,1,6,8,>,8,6"])
def test_a_line_that_is_no_pair_is_named(root, line):
    _annotate(root, "1,1,6,8,>,8,6", line or " ")
    (root / "DIW_test.csv").write_text((root / "DIW_test.csv").read_text() + "./DIW_test/a.thumb\n1,1,6,8,>,8,6\n")
    with pytest.raises(DataLayoutError, match=r"DIW_test\.csv, line 4: must be yA,xA,yB,xB,> or <,number,number, got"):
        load_data("diw", root, "test")


def test_a_file_cut_short_is_refused(root):
    (root / "DIW_test.csv").write_text("./DIW_test/a.thumb\n1,1,6,8,>,8,6\n./DIW_test/b.thumb\n")
    with pytest.raises(DataLayoutError, match="must alternate image path and pair, got 3 lines"):
        load_data("diw", root, "test")


@pytest.mark.parametrize("pair", ["0,1,6,8,>,8,6", "1,1,7,8,>,8,6", "1,1,6,9,>,8,6"])
def test_a_point_outside_its_image_is_an_error_of_that_image(root, pair):
    _annotate(root, pair, "2,5,3,1,<,8,6")
    rows = load_data("diw", root, "test")
    with pytest.raises(SampleError, match=r"a\.thumb: a point of its pairs lies at row .* outside the image of 6 x 8"):
        read_sample(rows[0])
    assert read_sample(rows[1])["ordinal"].shape == (1, 5)


def test_missing_images(root):
    (root / "DIW_test" / "b.thumb").unlink()
    with pytest.raises(DataLayoutError, match=r"1 files are missing: DIW_test/b\.thumb"):
        load_data("diw", root, "test")
    with pytest.warns(UserWarning, match="1 of 2 rows are left out"):
        assert load_data("diw", root, "test", missing="skip")["frame"][:] == ["a"]
