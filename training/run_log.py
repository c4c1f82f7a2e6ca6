"""What a run tells: log.jsonl in the output folder always, experiment trackers by name, pictures to both."""

import json
import math
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.tracking import filter_trackers, get_available_trackers
from PIL import Image
from tqdm.auto import tqdm

PROJECT = "open_dpt"

# Tracker -> what pip calls it.
TRACKERS = {"tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb", "mlflow": "mlflow"}


class RunLog:
    """Numbers, pictures and messages of one run. Only the main process writes; every process may call.

        log = RunLog(accelerator, output_dir, ["tensorboard"])
        log.start(step=resumed_step, settings=effective_recipe(args))
        log.scalars(10, {"loss": 0.3})

    Args:
        accelerator: made with or without `log_with`; the trackers named here count.
        output_dir: folder of the run. Gets log.jsonl, panels/, and what trackers keep in files.
        trackers: names out of TRACKERS; "none" or an empty list for none. None: tensorboard where it is installed.

    Raises:
        ValueError: a tracker is unknown or not installed; the message names the package.
    """

    def __init__(self, accelerator: Accelerator, output_dir: str | Path, trackers: list[str] | str | None = None):
        self.folder = Path(output_dir)
        self.path = self.folder / "log.jsonl"
        self._accelerator = accelerator
        self._main = accelerator.is_main_process
        self._names = check_trackers(trackers)
        self._step: int | None = None
        self._broken: set[str] = set()

    def start(self, step: int = 0, settings: dict[str, Any] | None = None) -> None:
        """Begin, or continue after `step`: what an earlier, killed process logged beyond it is forgotten.

        Args:
            step: optimizer steps done.
            settings: written to the trackers of a new run.
        """
        self._step = step
        if self._main:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._drop_lines_after(step)
        if not self._names:
            return
        accelerator = self._accelerator
        if accelerator.project_configuration.logging_dir is None:
            accelerator.project_configuration.logging_dir = str(self.folder)
        accelerator.log_with = filter_trackers(self._names, accelerator.logging_dir)
        plain = {key: _plain(value) for key, value in (settings or {}).items()}
        accelerator.init_trackers(PROJECT, plain if step == 0 else None, self._tracker_options(step))
        if self._main and "mlflow" in self._names:
            self._remember("mlflow", accelerator.get_tracker("mlflow", unwrap=True).info.run_id)

    def scalars(self, step: int, values: dict[str, float | int | str | None]) -> None:
        """Log numbers of `step`. Those that are not finite become null in the file and do not go to the trackers."""
        self._step = step
        finite = {key: value for key, value in values.items() if not isinstance(value, float) or math.isfinite(value)}
        self._write({"step": step} | {key: finite.get(key) for key in values})
        with self._going_on("trackers"):
            self._accelerator.log({key: value for key, value in finite.items() if value is not None}, step=step)

    def images(self, step: int, images: dict[str, np.ndarray]) -> None:
        """Send pictures, uint8 (H, W, 3), to the trackers; the newest of each name lies in panels/NAME.png too."""
        if not self._main:
            return
        for name, image in images.items():
            path = self.folder / "panels" / f"{name}.png"
            with self._going_on("panels"):
                path.parent.mkdir(parents=True, exist_ok=True)
                partial = path.with_suffix(".partial.png")
                Image.fromarray(image).save(partial)
                partial.replace(path)
            with self._going_on("trackers"):
                for tracker in self._accelerator.trackers:
                    if tracker.name in _SEND_IMAGE:
                        _SEND_IMAGE[tracker.name](tracker, name, image, step)

    def message(self, text: str) -> None:
        """Print one line above the progress bar and keep it."""
        if self._main:
            tqdm.write(text)
            self._write({"step": self._step, "message": text})

    def _write(self, line: dict) -> None:
        if self._main:
            with self._going_on("log.jsonl"):
                self.folder.mkdir(parents=True, exist_ok=True)
                with open(self.path, "a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")

    @contextmanager
    def _going_on(self, what: str) -> Iterator[None]:
        """A log that cannot be written (a full disk) must not end a training. It is told once."""
        try:
            yield
        except OSError as error:
            if what not in self._broken:
                self._broken.add(what)
                print(f"{self.folder}: {what} cannot be written ({error.strerror or error})", file=sys.stderr)

    def _drop_lines_after(self, step: int) -> None:
        if not self.path.exists():
            return
        kept = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                if (json.loads(line).get("step") or 0) <= step:
                    kept.append(line + "\n")
            except json.JSONDecodeError:
                pass  # torn when the process was killed
        partial = self.path.with_suffix(".partial")
        partial.write_text("".join(kept), encoding="utf-8")
        os.replace(partial, self.path)

    def _tracker_options(self, step: int) -> dict[str, dict]:
        """What makes each tracker show a resumed run as one."""
        name, known = self.folder.resolve().name, self._known_ids()
        options: dict[str, dict] = {
            "tensorboard": {"purge_step": step + 1} if step else {},
            "trackio": {"name": known.get("trackio", name), "resume": "allow" if step else "never"},
            "wandb": {"name": name, "dir": str(self.folder), "id": known.get("wandb"), "resume": "allow"},
            "mlflow": {"run_name": name, "run_id": known.get("mlflow") if step else None},
        }
        if self._main:
            for tracker, key in (("trackio", "name"), ("wandb", "id")):
                if tracker in self._names and (not step or tracker not in known):
                    fresh = f"{name}-{uuid.uuid4().hex[:8]}"
                    options[tracker][key] = fresh
                    self._remember(tracker, fresh)
        return options

    def _known_ids(self) -> dict[str, str]:
        try:
            return json.loads((self.folder / "trackers.json").read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):
            return {}

    def _remember(self, tracker: str, identity: str) -> None:
        (self.folder / "trackers.json").write_text(json.dumps(self._known_ids() | {tracker: identity}) + "\n")


def check_trackers(names: list[str] | str | None) -> list[str]:
    """The trackers to use.

    Args:
        names: as for RunLog.

    Raises:
        ValueError: one is unknown or not installed.
    """
    installed = [str(getattr(name, "value", name)) for name in get_available_trackers()]
    if names is None:
        return [name for name in ("tensorboard",) if name in installed]
    chosen = [name for name in ([names] if isinstance(names, str) else names) if name != "none"]
    for name in chosen:
        if name not in TRACKERS:
            raise ValueError(f"report_to: must be some of {', '.join(TRACKERS)}, or none, got {name!r}.")
        if name not in installed:
            raise ValueError(f"report_to: {name} is not installed. pip install {TRACKERS[name]}, or --report_to none.")
    return chosen


def _plain(value: Any) -> bool | int | float | str:
    return value if isinstance(value, (bool, int, float, str)) else json.dumps(value, default=str)


def _trackio_image(tracker, name: str, image: np.ndarray, step: int) -> None:
    import trackio

    tracker.log({name: trackio.Image(image)}, step=step)


def _mlflow_image(tracker, name: str, image: np.ndarray, step: int) -> None:
    import mlflow

    mlflow.log_image(image, key=name, step=step)


# accelerate offers `log_images` for some trackers only, and with different shapes.
_SEND_IMAGE: dict[str, Callable] = {
    "tensorboard": lambda tracker, name, image, step: tracker.log_images(
        {name: image[None]}, step, dataformats="NHWC"
    ),
    "wandb": lambda tracker, name, image, step: tracker.log_images({name: [image]}, step),
    "trackio": _trackio_image,
    "mlflow": _mlflow_image,
}
