"""Results of an alignment run, sample by sample, so that one that was stopped continues.

Each process appends to a file of its own: a line of JSON for what the results depend on, then one for each sample.
After a crash at most the last line is torn, and that sample is done again. A later run may have other processes.
"""

import json
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list

_PATTERN = "process-*.jsonl"


class AlignmentJournal:
    """Record of one alignment in one folder.

    Args:
        folder: Made if missing; every process must name the same.
        settings: What the results depend on, as JSON data.
        accelerator: `accelerate.Accelerator`, or None for one process.

    Raises:
        ValueError: the folder holds results of other settings.
    """

    def __init__(self, folder: str | Path, settings: dict, accelerator: Any = None):
        self.folder = Path(folder)
        main, rank = (True, 0) if accelerator is None else (accelerator.is_main_process, accelerator.process_index)
        # What the main process finds is what all continue from, also where they see different disks.
        found = [self._read() if main else None]
        if accelerator is not None and accelerator.num_processes > 1:
            broadcast_object_list(found)
        earlier, self.entries = found[0]
        changed = sorted(
            {key for old in earlier for key in old.keys() | settings if old.get(key) != settings.get(key)}
        )
        if changed:
            raise ValueError(
                f"{self.folder}: holds results of a run with other {', '.join(changed)}. Delete it to start anew, or "
                "choose another output."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._path = self.folder / _PATTERN.replace("*", f"{rank:05d}")
        torn = self._path.is_file() and not self._path.read_bytes().endswith(b"\n")
        self._write(("\n" if torn else "") + json.dumps({"settings": settings}))

    def add(self, entry: dict) -> None:
        """Note one result of this process; it has an "index"."""
        self._write(json.dumps(entry))

    def _write(self, line: str) -> None:
        with self._path.open("a") as file:
            file.write(line + "\n")

    def _read(self) -> tuple[list[dict], dict[int, dict]]:
        """All settings found, and the results by index."""
        settings, entries = [], {}
        for path in sorted(self.folder.glob(_PATTERN)):
            for line in path.read_text().splitlines():
                try:
                    entry = json.loads(line)
                except json.JSONDecodeError:
                    continue
                if "settings" in entry:
                    settings.append(entry["settings"])
                else:
                    entries[entry["index"]] = entry
        return settings, entries
