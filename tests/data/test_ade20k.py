import numpy as np
import pytest
from PIL import Image

from open_dpt.data import DataLayoutError, class_names, load_data, read_sample


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "ADEChallengeData2016"
    for kind in ("images", "annotations"):
        for split in ("training", "validation"):
            (folder / kind / split).mkdir(parents=True)
    for split, name in (("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001")):
        Image.new("RGB", (3, 1), "gray").save(folder / "images" / split / f"{name}.jpg")
        Image.fromarray(np.array([[0, 1, 150]], np.uint8)).save(folder / "annotations" / split / f"{name}.png")
    (folder / "sceneCategories.txt").write_text("ADE_train_00000001 airport_terminal\nADE_val_00000001 abbey\n")
    return tmp_path


@pytest.mark.parametrize("split", ["train", "validation"])
def test_zero_is_ignored_and_the_count_is_told(root, split):
    with pytest.warns(UserWarning, match=r"images when complete, found 1\."):
        rows = load_data("ade20k", root, split)
    assert read_sample(rows[0])["label"].tolist() == [[255, 0, 149]]
    assert rows[0]["scene"] == {"train": "airport_terminal", "validation": "abbey"}[split]
    assert len(class_names("ade20k")) == 150


def test_a_missing_folder_and_a_missing_label_are_named(root):
    folder = root / "ADEChallengeData2016"
    (folder / "annotations" / "training" / "ADE_train_00000001.png").unlink()
    Image.new("L", (3, 1)).save(folder / "annotations" / "training" / "ADE_train_00000002.png")
    with pytest.raises(
        DataLayoutError, match=r"training/ holds ADE_train_00000001.*training/ holds ADE_train_00000002"
    ):
        load_data("ade20k", root)
    (folder / "annotations" / "validation" / "ADE_val_00000001.png").unlink()
    (folder / "annotations" / "validation").rmdir()
    with pytest.raises(DataLayoutError, match=r"annotations/validation not found\. Expected inside: images/"):
        load_data("ade20k", folder, "validation")
