"""From a mapping to a dataclass whose annotations say what their values must be.

    @dataclass(frozen=True)
    class Rule:
        scale: Annotated[float, positive]

A check returns the value as it is kept, or raises `Unfit` with what is required.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_type_hints

Check = Callable[[Any], Any]


class ProtocolError(ValueError):
    """A protocol cannot be used; the message names it, the key, the value, and what would be right."""


class Unfit(Exception):
    """A value does not do; the message says what is required, and perhaps a remedy."""

    def __init__(self, requirement: str, remedy: str = ""):
        super().__init__(requirement)
        self.requirement, self.remedy = requirement, remedy


def build(cls: type, values: Any, where: str, above: str = "", parts: Mapping[str, type] | None = None) -> Any:
    """An instance of a dataclass from a mapping. Fields without a default must be there, others must not.

    Args:
        where: What the mapping belongs to, for messages.
        above: Dotted key of the mapping inside it, with a dot at the end.
        parts: Classes of fields whose annotation leaves several open.

    Raises:
        ProtocolError: a key is unknown or missing, or a value does not do.
    """
    if not isinstance(values, Mapping):
        raise ProtocolError(f"{where}: {above.rstrip('.')} must be a mapping, got {values!r}.")
    known = [one.name for one in fields(cls) if one.default is MISSING and one.default_factory is MISSING]
    if unknown := sorted(set(values) - set(known), key=str):
        raise ProtocolError(f"{where}: {above}{unknown[0]} is no key of a protocol. {nearest(unknown[0], known)}")
    if missing := [key for key in known if key not in values]:
        raise ProtocolError(f"{where}: {above}{missing[0]} is missing. State it, or `extends` a protocol that does.")
    hints = get_type_hints(cls, include_extras=True)
    return cls(**{key: _value(hints[key], values[key], where, above + key, (parts or {}).get(key)) for key in known})


def _value(hint: Any, value: Any, where: str, key: str, part: type | None) -> Any:
    kinds = get_args(hint) or (hint,)
    part = part or next((kind for kind in kinds if is_dataclass(kind)), None)
    if part is not None:
        return None if value is None and type(None) in kinds else build(part, value, where, f"{key}.")
    (check,) = hint.__metadata__
    try:
        return check(value)
    except Unfit as error:
        remedy = f" {error.remedy}" if error.remedy else ""
        raise ProtocolError(f"{where}: {key} must be {error.requirement}, got {value!r}.{remedy}") from None


def nearest(name: Any, known: Any) -> str:
    """The sentence that helps somebody who mistyped `name`."""
    close = get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(sorted(known)) or 'none'}."


def one_of(*choices: str) -> Check:
    def check(value: Any) -> str:
        if value not in choices:
            close = get_close_matches(str(value), choices, n=1, cutoff=0.5)
            raise Unfit(f"one of {', '.join(choices)}", f"Did you mean {close[0]!r}?" if close else "")
        return value

    return check


def or_null(check: Check) -> Check:
    def checked_or_none(value: Any) -> Any:
        if value is None:
            return None
        try:
            return check(value)
        except Unfit as error:
            raise Unfit(f"{error.requirement}, or null", error.remedy) from None

    return checked_or_none


def text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Unfit("text")
    return " ".join(value.split())


def yes_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unfit("true or false")
    return value


def whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Unfit("a whole number of 1 or more")
    return value


def positive(value: Any) -> float:
    if not _is_number(value) or not value > 0:
        raise Unfit("a number above 0")
    return float(value)


def size(value: Any) -> tuple[int, int]:
    try:
        height, width = value
        return whole(height), whole(width)
    except (Unfit, TypeError, ValueError):
        raise Unfit("[height, width] in pixels") from None


def span(value: Any) -> tuple[float | None, float | None]:
    """A range whose ends may be open (None)."""
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(end is None or _is_number(end) for end in value):
        low, high = (None if end is None else float(end) for end in value)
        if (low is None or low >= 0) and (low or 0.0) < (math.inf if high is None else high):
            return low, high
    raise Unfit("[least, largest] in metres, 0 <= least < largest, null where open")


def numbers(value: Any) -> tuple[float, ...]:
    try:
        if value and isinstance(value, (list, tuple)):
            return tuple(positive(one) for one in value)
    except Unfit:
        pass
    raise Unfit("a list of numbers above 0")


def names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(name, str) for name in value):
        raise Unfit("a list of names")
    return tuple(value)


def mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise Unfit("a mapping of names to values, {} for none")
    return dict(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
