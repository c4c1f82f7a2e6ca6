"""What ships inside the package: the demonstration model and the photos that it is shown on."""

from pathlib import Path

_FOLDER = Path(__file__).parent


def bundled_model_path() -> Path:
    """Folder of dpt-tiny, readable by `from_pretrained`.

    Raises:
        FileNotFoundError: this installation holds no model.
    """
    folder = _FOLDER / "dpt-tiny"
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            "bundled model: this installation does not hold dpt-tiny. Reinstall open-dpt, or name another model."
        )
    return folder


def bundled_photo_path() -> Path:
    """The photo (RGB, 600 x 400 pixels) that `open-dpt doctor` predicts."""
    return _FOLDER / "photo.jpg"


def bundled_photo_paths() -> list[Path]:
    """All bundled photos, by name. Sources and licences stand in README.md beside them."""
    return sorted(_FOLDER.glob("*.jpg"))
