"""What an output folder already holds, so that a long run continues where it stopped.

One line of JSON for the settings, then one for each image whose results are complete. Lines are only ever appended:
after a crash at most the last one is torn, and that image is done again.
"""

import json
from pathlib import Path
from threading import Lock

from .messages import RequestError
from .sources import Source


class Journal:
    """Record of one command's results in one folder.

    Args:
        folder: output folder, made if missing.
        command: name of the command; each has a record of its own.
        settings: what the results depend on, as JSON data.
        overwrite: forget earlier results and replace whatever lies in the way.

    Raises:
        RequestError: the folder holds results of other settings.
    """

    def __init__(self, folder: Path, command: str, settings: dict, *, overwrite: bool) -> None:
        self._folder = folder
        self._path = folder / f".open-dpt-{command}.jsonl"
        self._settings = settings
        self._appending = Lock()
        folder.mkdir(parents=True, exist_ok=True)
        head, *entries = [None] if overwrite else self._read()
        if head and head["settings"] != settings:
            old = head["settings"]
            changed = sorted(key for key in old | settings if old.get(key) != settings.get(key))
            raise RequestError(
                f"{folder}: holds results made with another {', '.join(changed)}. "
                "Choose another --output, or replace them with --overwrite."
            )
        self._continues = head is not None
        self._may_replace = overwrite
        self._done = {entry["name"]: entry for entry in entries}

    def remaining(self, planned: dict[Source, list[Path]]) -> list[Source]:
        """Sources among `planned` (with their files) that still have to be done, in order.

        Raises:
            RequestError: a file is in the way that is no result of the same image.
        """
        left = [source for source, files in planned.items() if not self._is_done(source, files)]
        if not self._may_replace:
            for source in left:
                self._check_free(source, planned[source])
        if not self._continues:
            self._path.write_text(json.dumps({"settings": self._settings}) + "\n")
        return left

    def add(self, source: Source, files: list[Path]) -> None:
        """Note that `files` are complete. May be called from several threads."""
        entry = {
            "name": source.name,
            "source": source.identity(),
            "stamp": source.stamp(),
            "files": self._names(files),
        }
        with self._appending, self._path.open("a") as stream:
            stream.write(json.dumps(entry) + "\n")

    def _is_done(self, source: Source, files: list[Path]) -> bool:
        entry = self._done.get(source.name)
        return (
            entry is not None
            and entry["stamp"] == source.stamp()
            and set(self._names(files)) <= set(entry["files"])
            and all(file.is_file() for file in files)
        )

    def _check_free(self, source: Source, files: list[Path]) -> None:
        entry = self._done.get(source.name)
        if entry and entry["source"] != source.identity():
            raise RequestError(
                f"{source.location}: its results would replace those of {entry['source']}. "
                "Choose another --output, or replace them with --overwrite."
            )
        # In a run that continues, a file without an entry is one that the stop cut off: ours to replace.
        occupied = [] if self._continues else [file for file in files if file.exists()]
        if occupied:
            raise RequestError(
                f"{occupied[0]}: exists and is no result of this command. "
                "Choose another --output, or replace it with --overwrite."
            )

    def _names(self, files: list[Path]) -> list[str]:
        return [file.relative_to(self._folder).as_posix() for file in files]

    def _read(self) -> list[dict | None]:
        """Settings and entries; [None] where there are none."""
        if not self._path.is_file():
            return [None]
        text = self._path.read_text()
        if text and not text.endswith("\n"):  # torn by a crash: what is appended next must start a line
            with self._path.open("a") as stream:
                stream.write("\n")
        lines = []
        for line in text.splitlines():
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return lines if lines and "settings" in lines[0] else [None]
