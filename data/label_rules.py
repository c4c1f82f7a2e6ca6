"""From the values that annotation files hold to the labels that a model learns: 0.., and 255 where not labelled."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .class_tables import PASCAL_CONTEXT_IDS

IGNORED = 255


def apply_label_rule(rule: str, values: Tensor) -> Tensor:
    """Labels of stored values.

    Args:
        rule: key of LABEL_RULES.
        values: as stored, any integer type and shape.

    Returns:
        int64, the shape of `values`: class ids from 0, 255 = ignored.

    Raises:
        ValueError: unknown rule.
    """
    if rule not in LABEL_RULES:
        raise ValueError(f"label_rule: must be one of {', '.join(LABEL_RULES)}, got {rule!r}.")
    # Signed and wide before any arithmetic: in uint8, 0 - 1 is 255 by luck, and 300 is 44.
    return LABEL_RULES[rule](values.to(torch.int64))


def _as_is(values: Tensor) -> Tensor:
    return values.where(values >= 0, IGNORED)


def _zero_is_ignored(values: Tensor) -> Tensor:
    return (values - 1).where((values > 0) & (values != IGNORED), IGNORED)


def _camvid(values: Tensor) -> Tensor:
    return _as_is(values).where(values != 11, IGNORED)


def _pascal_60(values: Tensor) -> Tensor:
    """Rank of the 459-id among the 59; everything else is background, 0."""
    ids = torch.tensor(list(PASCAL_CONTEXT_IDS.values()), device=values.device)
    rank = torch.searchsorted(ids, values.contiguous())
    return torch.where(ids[rank.clamp(max=len(ids) - 1)] == values, rank + 1, 0)


def _pascal_59(values: Tensor) -> Tensor:
    return _zero_is_ignored(_pascal_60(values))


LABEL_RULES: dict[str, Callable[[Tensor], Tensor]] = {
    "as-is": _as_is,  # negative values are ignored
    "zero-is-ignored": _zero_is_ignored,  # 1.. become 0..; 255 stays ignored
    "camvid": _camvid,  # 11 is void
    "pascal-459-to-59": _pascal_59,
    "pascal-459-to-60": _pascal_60,
}
