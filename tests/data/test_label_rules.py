import numpy as np
import pytest
import torch

from open_dpt.data.class_tables import ADE20K, CAMVID, PASCAL_CONTEXT, PASCAL_CONTEXT_IDS
from open_dpt.data.label_rules import LABEL_RULES, apply_label_rule

CASES = {
    # rule: (stored values, labels)
    "as-is": ([0, 7, 254, 255, -1], [0, 7, 254, 255, 255]),
    "zero-is-ignored": ([0, 1, 150, 254, 255], [255, 0, 149, 253, 255]),
    "camvid": ([0, 10, 11, 255], [0, 10, 255, 255]),
    "pascal-459-to-59": ([0, 1, 2, 3, 9, 284, 458, 459], [255, 255, 0, 255, 1, 36, 58, 255]),
    "pascal-459-to-60": ([0, 1, 2, 3, 9, 284, 458, 459], [0, 0, 1, 0, 2, 37, 59, 0]),
}


@pytest.mark.parametrize("rule", LABEL_RULES)
def test_hand_values(rule):
    stored, labels = CASES[rule]
    result = apply_label_rule(rule, torch.tensor(stored).view(1, -1))
    assert result.dtype == torch.int64
    assert result.tolist() == [labels]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_zero_does_not_wrap_in_any_type(dtype):
    stored = torch.from_numpy(np.arange(151, dtype=dtype))
    assert apply_label_rule("zero-is-ignored", stored).tolist() == [255, *range(150)]


def test_every_459_id_meets_its_name():
    ids = torch.arange(0, 600)
    expected = [PASCAL_CONTEXT.index(name) if (name := _name(i)) else 255 for i in ids.tolist()]
    assert apply_label_rule("pascal-459-to-59", ids).tolist() == expected


def _name(number: int) -> str | None:
    return {value: name for name, value in PASCAL_CONTEXT_IDS.items()}.get(number)


def test_unknown_rule_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"must be one of as-is, zero-is-ignored, .*, got 'minus-one'"):
        apply_label_rule("minus-one", torch.zeros(1))


def test_class_names_are_complete_and_in_label_order():
    assert [len(names) for names in (ADE20K, PASCAL_CONTEXT, CAMVID)] == [150, 59, 11]
    assert all(len(set(names)) == len(names) for names in (ADE20K, PASCAL_CONTEXT, CAMVID))
    assert (ADE20K[0], ADE20K[44], ADE20K[149]) == ("wall", "chest of drawers", "flag")
    assert all(name == name.strip() and "\n" not in name for name in ADE20K)
    # The order of the labels is that of the 459 ids, and alphabetical (not VOC classes first).
    assert list(PASCAL_CONTEXT) == sorted(PASCAL_CONTEXT)
    assert list(PASCAL_CONTEXT_IDS.values()) == sorted(PASCAL_CONTEXT_IDS.values())
    assert PASCAL_CONTEXT[36] == "person"
