"""From the IMAGE|FOLDER|GLOB arguments to a list of images, each with a name of its own for its results."""

import glob
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

from .messages import RequestError

# What is looked for inside folders. A file that is named, or matched by a pattern, is tried whatever its suffix.
IMAGE_SUFFIXES = frozenset(
    [".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"]
)


@dataclass(frozen=True)
class Source:
    """One image to predict."""

    location: str  # path or URL
    name: str  # where results go: relative to the output folder, without suffix, unique within the run

    def identity(self) -> str:
        """Where the image is, independent of the current folder."""
        return self.location if _is_url(self.location) else str(Path(self.location).absolute())

    def stamp(self) -> list[int] | None:
        """Size and modification time, by which a changed image is noticed. None for a URL or a vanished file."""
        try:
            status = Path(self.location).stat()
        except OSError:
            return None
        return [status.st_size, status.st_mtime_ns]


def find_sources(arguments: list[str], *, output: Path) -> list[Source]:
    """Expand `arguments` in order; folders are searched recursively, `output` inside one is left out.

    Raises:
        RequestError: an argument names nothing, or a folder holds no image.
    """
    found: dict[str, Path] = {}  # location -> path below which results are named
    for argument in arguments:
        for location, name in _expand(argument, output.absolute()):
            found.setdefault(location, name)
    return [Source(location, name) for location, name in zip(found, _unique(found), strict=True)]


def _expand(argument: str, output: Path) -> list[tuple[str, Path]]:
    if _is_url(argument):
        return [(argument, Path(unquote(Path(urlparse(argument).path).name) or "image"))]
    path = Path(argument)
    if path.is_dir():
        files = [
            file
            for file in sorted(path.rglob("*"))
            if file.suffix.lower() in IMAGE_SUFFIXES
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
            and not file.absolute().is_relative_to(output)
            and (file.is_file() or _is_broken_link(file))
        ]
        if not files:
            raise RequestError(f"{argument}: this folder holds no image ({' '.join(sorted(IMAGE_SUFFIXES))}).")
        return [(str(file), file.relative_to(path)) for file in files]
    if path.exists():
        return [(argument, Path(path.name))]
    if glob.has_magic(argument):
        files = [Path(match) for match in sorted(glob.glob(argument, recursive=True)) if Path(match).is_file()]
        if not files:
            raise RequestError(f"{argument}: no file matches this pattern.")
        return [(str(file), Path(file.name)) for file in files]
    raise RequestError(f"{argument}: does not exist. Name an image, a folder, or a quoted pattern such as '*.jpg'.")


def _unique(found: dict[str, Path]) -> list[str]:
    """Shortest distinct names: stem, else with its suffix, else with its folder, else numbered.

    Compared without case, since a.png and A.png are one file on some systems.
    """
    forms = [
        [
            str(name.with_suffix("")),
            f"{name.with_suffix('')}_{name.suffix[1:]}",
            str(name.parent / f"{Path(location).parent.name}_{name.stem}_{name.suffix[1:]}"),
        ]
        for location, name in found.items()
    ]
    names = [options[0] for options in forms]
    for level in (1, 2):
        counts = _counts(names)
        names = [
            options[level] if counts[name.casefold()] > 1 else name for name, options in zip(names, forms, strict=True)
        ]
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        number = seen[name.casefold()] = seen.get(name.casefold(), 0) + 1
        unique.append(name if number == 1 else f"{name}_{number}")
    return unique


def _counts(names: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name.casefold()] = counts.get(name.casefold(), 0) + 1
    return counts


def _is_broken_link(path: Path) -> bool:
    """A link to nothing is an image that cannot be read, not one less."""
    return path.is_symlink() and not path.exists()


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))
