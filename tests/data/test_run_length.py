import numpy as np
import pytest

from open_dpt.data.run_length import decode_runs

# Packed by pycocotools 2.0.11, rows of the mask they were made from.
PACKED = [
    ("h0", ["0000"] * 6),
    ("0h0", ["1111"] * 6),
    ("11100", ["01010"]),
    (
        "2110010O141MNO011OO01011NO0021OOO00023",
        ["011100000", "001010100", "111100010", "000011001", "100101011", "010100101", "111011111"],
    ),
]


@pytest.mark.parametrize(("text", "rows"), PACKED)
def test_packed_by_the_reference_library(text, rows):
    expected = np.array([[digit == "1" for digit in row] for row in rows])
    decoded = decode_runs(text, expected.shape)
    assert decoded.dtype == bool
    np.testing.assert_array_equal(decoded, expected)


def test_plain_counts_run_down_the_columns():
    np.testing.assert_array_equal(decode_runs([1, 3, 2], (2, 3)), [[0, 1, 0], [1, 1, 0]])


@pytest.mark.parametrize("counts", [[1, 3], [7], [8, -2], "h0"])
def test_runs_that_do_not_fill_the_mask_are_refused(counts):
    with pytest.raises(ValueError, match="must add up to 2 x 3 pixels"):
        decode_runs(counts, (2, 3))
