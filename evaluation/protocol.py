"""Protocols: everything that turns predictions into a published number, as frozen data.

A protocol is a YAML file in `protocols/`. Its rules never change under one version: a test pins the hash of each.

    protocol = load_protocol("nyu-eigen")
    changed = protocol.with_changes({"score.window": "none"})   # changed.label: "nyu-eigen v1 with score.window=none"

A file may extend another (`extends: nyu-eigen`); its keys win. Files that begin with "_" only serve to be extended.
"""

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from . import protocol_checks as check
from .metric_table import TASK_METRICS
from .protocol_checks import ProtocolError, build, nearest

__all__ = ["Protocol", "ProtocolError", "load_protocol", "protocol_names"]

FOLDER = Path(__file__).parent / "protocols"

ALIGNMENTS = ("none", "median", "least-squares-disparity", "least-squares-depth", "robust-disparity")

# Keys that tell people something and change no number.
WORDS = ("name", "version", "title", "source", "unconfirmed", "metrics", "paper")
# Keys that each file states for itself.
_OWN = ("name", "version", "title")


@dataclass(frozen=True)
class DataRule:
    """Which images: a data set of `data.DATASETS`, its split and options; how many there are (None: any number)."""

    dataset: Annotated[str, check.text]
    split: Annotated[str, check.text]
    options: Annotated[dict[str, Any], check.mapping]
    images: Annotated[int | None, check.or_null(check.whole)]


@dataclass(frozen=True)
class InferenceRule:
    """How our own models are run. Models of other libraries follow their own processors, prediction files none of it.

    Attributes:
        size: (height, width) aimed at; None leaves the model's processor as it is.
        resize_method, keep_aspect_ratio: As in `processing.resize.target_size`.
        flip: Mean with the prediction for the mirrored image.
        scales, base_size, window, stride, combine: Multi-scale and sliding-window segmentation, see
            `processing.multi_scale`.
        output_resize: From the network's size to the image's; "bilinear-corners" aligns the corners' centres.
    """

    size: Annotated[tuple[int, int] | None, check.or_null(check.size)]
    resize_method: Annotated[str, check.one_of("minimal", "lower_bound", "upper_bound")]
    keep_aspect_ratio: Annotated[bool, check.yes_no]
    flip: Annotated[bool, check.yes_no]
    scales: Annotated[tuple[float, ...] | None, check.or_null(check.numbers)]
    base_size: Annotated[int | None, check.or_null(check.whole)]
    window: Annotated[int | None, check.or_null(check.whole)]
    stride: Annotated[int | None, check.or_null(check.whole)]
    combine: Annotated[str | None, check.or_null(check.one_of("exp-of-sum", "mean-probability"))]
    output_resize: Annotated[str, check.one_of("bicubic", "bilinear", "bilinear-corners")]


@dataclass(frozen=True)
class QuantisationRule:
    """Metres go through a 16-bit PNG: value * scale, truncated."""

    scale: Annotated[float, check.positive]


@dataclass(frozen=True)
class DepthScoreRule:
    """Which pixels count, and how.

    Attributes:
        grid: "image": a prediction for a cropped image is pasted into the full one; "crop": truth is cropped, too.
        window: Rows and columns that count, on that grid.
        truth_range: Metres; truth strictly inside counts.
        prediction_range: Metres; predictions are clamped to it where it has an end.
        unusable: What stands for predictions that are NaN or not positive: the "minimum" of prediction_range,
            "background" (filled in from their row and column as the KITTI devkit does), or "excluded".
        averaging: Over "image"s, or over the "pixel"s of all of them.
    """

    grid: Annotated[str, check.one_of("image", "crop")]
    window: Annotated[str, check.one_of("none", "eigen", "garg")]
    truth_range: Annotated[tuple[float | None, float | None], check.span]
    prediction_range: Annotated[tuple[float | None, float | None], check.span]
    unusable: Annotated[str, check.one_of("minimum", "excluded", "background")]
    averaging: Annotated[str, check.one_of("image", "pixel")]


@dataclass(frozen=True)
class OrdinalScoreRule:
    """How two points with one and the same disparity count: "as-nearer" (the first is nearer), or "wrong"."""

    ties: Annotated[str, check.one_of("as-nearer", "wrong")]


@dataclass(frozen=True)
class SegmentationScoreRule:
    """Number of classes (None: what the data set's class names say), and how a class that occurs nowhere counts."""

    classes: Annotated[int | None, check.or_null(check.whole)]
    absent_class: Annotated[str, check.one_of("zero", "left-out")]


_SCORE_RULES = {"depth": DepthScoreRule, "ordinal": OrdinalScoreRule, "segmentation": SegmentationScoreRule}


@dataclass(frozen=True)
class Protocol:
    """A protocol; make one with `load_protocol`. The keys are explained at the classes of its parts."""

    name: Annotated[str, check.text]
    version: Annotated[int, check.whole]
    title: Annotated[str, check.text]
    task: Annotated[str, check.one_of(*_SCORE_RULES)]
    source: Annotated[str, check.text]
    unconfirmed: Annotated[str | None, check.or_null(check.text)]
    data: DataRule
    image_crop: Annotated[str, check.one_of("none", "kb")]
    inference: InferenceRule
    quantisation: QuantisationRule | None
    alignment: Annotated[str, check.one_of(*ALIGNMENTS)]
    score: DepthScoreRule | OrdinalScoreRule | SegmentationScoreRule
    metrics: Annotated[tuple[str, ...], check.names]
    paper: Annotated[dict[str, Any] | None, check.or_null(check.mapping)]
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name and version, and what was changed: how a result of it may be called."""
        changes = ", ".join(f"{key}={word(value)}" for key, value in sorted(self.changes.items()))
        return f"{self.name} v{self.version}" + (f" with {changes}" if changes else "")

    @property
    def sha256(self) -> str:
        """Hash of all that changes numbers; two results may be compared if theirs are equal."""
        rules = {key: value for key, value in self.to_dict().items() if key not in (*WORDS, "changes")}
        del rules["data"]["images"]  # only a check
        return hashlib.sha256(json.dumps(rules, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """JSON data; `Protocol.from_dict` takes it back."""
        return _plain(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Protocol":
        """Check the values of a protocol.

        Raises:
            ProtocolError: a key is unknown or missing, or a value does not do.
        """
        values = dict(values)
        changes = values.pop("changes", {})
        where = str(values.get("name", "protocol"))
        score = _SCORE_RULES.get(values.get("task"), DepthScoreRule)
        protocol = build(cls, values, where, parts={"score": score})
        _check_together(protocol)
        return replace(protocol, changes=dict(changes))

    def with_changes(self, changes: Mapping[str, Any]) -> "Protocol":
        """This protocol with other rules, which its label tells.

        Args:
            changes: Dotted keys and their values, such as {"score.window": "none"}.

        Raises:
            ProtocolError: as `from_dict`; and for the words that only describe (name, title, ...).
        """
        values, noted = self.to_dict(), dict(self.changes)
        del values["changes"]
        for key, value in changes.items():
            if key.split(".")[0] in WORDS:
                raise ProtocolError(f"{self.name}: {key} describes the protocol and cannot be changed. Change a rule.")
            if _replace(values, key.split("."), value, self.name) != value:
                noted[key] = value
        if {"data.dataset", "data.split"} & set(noted) and "data.images" not in changes:
            values["data"]["images"] = None  # the count was that of the other images
        return Protocol.from_dict(values | {"changes": _plain(noted)})


def load_protocol(name: str | Path) -> Protocol:
    """A protocol by its name, or from a YAML file of your own.

    Raises:
        ProtocolError: nothing has this name, or the file does not hold a protocol, or it holds other rules under the
            name of one that is there already.
    """
    path = Path(name).expanduser()
    own = path.suffix in (".yaml", ".yml")
    if not own:
        if str(name) not in protocol_names():
            raise ProtocolError(
                f"protocol: nothing is called {str(name)!r}. {nearest(name, protocol_names())} "
                "Name one that `open-dpt evaluate --list` shows, or a .yaml file."
            )
        path = FOLDER / f"{name}.yaml"
    values = _read(path, ())
    if missing := [key for key in _OWN if key not in values]:
        raise ProtocolError(f"{path}: {missing[0]} is missing. State it, it is not taken from what a file extends.")
    protocol = Protocol.from_dict(values)
    if own and protocol.name in protocol_names() and protocol.sha256 != load_protocol(protocol.name).sha256:
        raise ProtocolError(
            f"{path}: name must be a new one for new rules, got {protocol.name!r}, which has others. Change it."
        )
    return protocol


def protocol_names() -> list[str]:
    """All that `load_protocol` knows, sorted."""
    return sorted(path.stem for path in FOLDER.glob("[!_]*.yaml"))


def protocol_titles() -> dict[str, str]:
    """Label -> title of all of them. Rules are not looked at: checking them imports data sets' code, and torch."""
    files = [_values(FOLDER / f"{name}.yaml") for name in protocol_names()]
    return {f"{values['name']} v{values['version']}": values["title"] for values in files}


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path in seen:
        raise ProtocolError(f"{path}: extends itself, by way of {seen[-1].name}. Remove one `extends`.")
    values = _values(path)
    base = values.pop("extends", None)
    if base is None:
        return values
    beside = path.parent / f"{base}.yaml"
    extended = _read(beside if beside.is_file() else FOLDER / f"{base}.yaml", (*seen, path))
    return _merged({key: value for key, value in extended.items() if key not in _OWN}, values)


def _values(path: Path) -> dict[str, Any]:
    import yaml

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it is built in
        values = yaml.load(path.read_text(encoding="utf-8"), loader)
    except OSError as error:
        raise ProtocolError(f"{path}: cannot be read ({error.strerror}). Check the path.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ProtocolError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ProtocolError(f"{path}: must hold `key: value` lines, got {type(values).__name__}.")
    return values


def _merged(base: dict, values: dict) -> dict:
    both = {key for key, value in values.items() if isinstance(value, dict) and isinstance(base.get(key), dict)}
    return base | {key: _merged(base[key], value) if key in both else value for key, value in values.items()}


def _check_together(protocol: Protocol) -> None:
    """What one value asks of another."""
    from ..data import DATASETS

    data, score, where = protocol.data, protocol.score, protocol.name
    if data.dataset not in DATASETS:
        raise ProtocolError(
            f"{where}: data.dataset must be a known data set, got {data.dataset!r}. {nearest(data.dataset, DATASETS)}"
        )
    info = DATASETS[data.dataset]
    if info.splits and data.split not in info.splits:
        raise ProtocolError(f"{where}: data.split must be one of {', '.join(info.splits)}, got {data.split!r}.")
    # Asking for options imports the data set's module, so only if there are any.
    if data.options and (unknown := sorted(set(data.options) - set(info.options))):
        raise ProtocolError(
            f"{where}: data.options.{unknown[0]} is no option of {data.dataset}. {nearest(unknown[0], info.options)}"
        )
    known = TASK_METRICS[protocol.task]
    if unknown := [name for name in protocol.metrics if name not in known]:
        raise ProtocolError(f"{where}: metrics must be among {', '.join(known)}, got {unknown[0]!r}.")
    if protocol.task != "depth":
        if protocol.alignment != "none" or protocol.quantisation:
            raise ProtocolError(f"{where}: alignment must be none and quantisation null for {protocol.task} scores.")
        return
    low, high = score.prediction_range
    if score.unusable == "minimum" and not low:
        raise ProtocolError(f"{where}: score.unusable minimum needs a least value above 0 in score.prediction_range.")
    if protocol.alignment.endswith("disparity") and high is None:
        raise ProtocolError(
            f"{where}: alignment {protocol.alignment} needs a largest value in score.prediction_range (metres), "
            f"got {score.prediction_range}. Give one, such as [0.001, 80]: disparity of 0 and below goes there."
        )


def _replace(values: dict, key: list[str], value: Any, where: str) -> Any:
    """Put `value` at a dotted key; returns what stood there."""
    *above, last = key
    place = values
    for part in above:
        place = place.get(part) if isinstance(place, dict) else None
    if not isinstance(place, dict) or (last not in place and above != ["data", "options"]):
        known = [name for name, _ in _flat(values)]
        raise ProtocolError(f"{where}: {'.'.join(key)} is no key of a protocol. {nearest('.'.join(key), known)}")
    old, place[last] = place.get(last), copy.deepcopy(value)
    return old


def _flat(values: dict, above: str = ""):
    for key, value in values.items():
        yield f"{above}{key}", value
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def word(value: Any) -> str:
    """A value of a rule as messages tell it."""
    return value if isinstance(value, str) else json.dumps(value)
