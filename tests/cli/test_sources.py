"""Which images a command line means, and how their results are named."""

from pathlib import Path

import pytest

from open_dpt.cli.messages import RequestError
from open_dpt.cli.sources import find_sources


@pytest.fixture
def tree(tmp_path):
    for name in ("a.jpg", "a.png", "b.JPG", "notes.txt", "sub/a.jpg", ".hidden/c.jpg", "out/d_color.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "photos"


def _names(arguments, output="elsewhere"):
    sources = find_sources([str(argument) for argument in arguments], output=Path(output))
    return {source.name: Path(source.location).name for source in sources}


def test_a_folder_gives_its_images_and_leaves_out_hidden_ones_and_the_output(tree):
    assert _names([tree], output=tree / "out") == {
        "a_jpg": "a.jpg",
        "a_png": "a.png",
        "b": "b.JPG",
        "sub/a": "a.jpg",
    }


def test_a_link_to_nothing_counts_as_an_image(tree):
    (tree / "gone.jpg").symlink_to(tree / "nowhere.jpg")
    (tree / "folder.jpg").mkdir()
    names = _names([tree], output=tree / "out")
    assert "gone" in names and "folder" not in names


def test_names_differ_also_without_case(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "Cat.jpg").touch()
    (tmp_path / "cat.jpg").touch()
    found = _names([tmp_path / "x" / "Cat.jpg", tmp_path / "y" / "Cat.jpg", tmp_path / "cat.jpg"])
    assert len({name.casefold() for name in found}) == 3
    assert {"x_Cat_jpg", "y_Cat_jpg"} <= set(found)


def test_an_image_named_twice_is_done_once(tree):
    assert _names([tree / "b.JPG", tree / "b.JPG"]) == {"b": "b.JPG"}


def test_patterns(tree):
    assert sorted(_names([tree / "*.jpg"])) == ["a"]
    assert len(_names([tree / "**" / "a.jpg"])) == 2
    with pytest.raises(RequestError, match=r"\*\.gif: no file matches"):
        _names([tree / "*.gif"])


def test_a_named_file_needs_no_image_suffix(tree):
    assert _names([tree / "notes.txt"]) == {"notes": "notes.txt"}


def test_a_url_is_named_after_its_last_part():
    assert _names(["https://example.org/some%20photo.jpg?size=1"]) == {"some photo": "some%20photo.jpg?size=1"}


def test_a_folder_without_images_is_an_error(tmp_path):
    with pytest.raises(RequestError, match="holds no image"):
        _names([tmp_path])
