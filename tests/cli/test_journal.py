"""The record that makes runs resumable."""

import pytest

from open_dpt.cli.journal import Journal
from open_dpt.cli.messages import RequestError
from open_dpt.cli.sources import Source


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"pixels")
    return path


@pytest.fixture
def done(tmp_path, image):
    """An output folder in which the image is done with settings {"model": "m"}."""
    output = tmp_path / "out"
    source = Source(str(image), "a")
    journal = Journal(output, "predict", {"model": "m"}, overwrite=False)
    assert journal.remaining({source: [output / "a.png"]}) == [source]
    (output / "a.png").write_bytes(b"result")
    journal.add(source, [output / "a.png"])
    return output


def _remaining(output, image, *, model="m", files=("a.png",), overwrite=False):
    journal = Journal(output, "predict", {"model": model}, overwrite=overwrite)
    return len(journal.remaining({Source(str(image), "a"): [output / file for file in files]}))


def test_what_is_done_is_not_left(done, image):
    assert _remaining(done, image) == 0


def test_a_changed_image_is_left(done, image):
    image.write_bytes(b"other pixels")
    assert _remaining(done, image) == 1


def test_a_deleted_result_and_another_format_are_left(done, image):
    assert _remaining(done, image, files=("a.png", "a.npy")) == 1
    (done / "a.png").unlink()
    assert _remaining(done, image) == 1


def test_other_settings_are_refused_by_name(done, image):
    with pytest.raises(RequestError, match="another model"):
        _remaining(done, image, model="n")
    assert _remaining(done, image, model="n", overwrite=True) == 1


def test_a_record_torn_by_a_crash_costs_one_image_only(done, image):
    record = done / ".open-dpt-predict.jsonl"
    text = record.read_text()
    record.write_text(text[:-10])
    assert _remaining(done, image) == 1
    source = Source(str(image), "a")
    Journal(done, "predict", {"model": "m"}, overwrite=False).add(source, [done / "a.png"])
    assert _remaining(done, image) == 0


def test_files_of_others_are_not_replaced(tmp_path, image):
    (tmp_path / "a.png").write_bytes(b"precious")
    with pytest.raises(RequestError, match=r"a\.png: exists and is no result of this command"):
        _remaining(tmp_path, image)
    assert _remaining(tmp_path, image, overwrite=True) == 1


def test_results_of_another_image_are_not_replaced(done, tmp_path):
    other = tmp_path / "other" / "a.jpg"
    other.parent.mkdir()
    other.write_bytes(b"a different picture")
    with pytest.raises(RequestError, match="would replace those of"):
        _remaining(done, other)
