"""Rows of a dataclass become a CSV file and come back equal; what cannot be read is named with its place."""

from dataclasses import dataclass
from typing import Annotated

import pytest

from workflow_lib.csv_rows import Filled, Share, Written, columns, read_rows, write_rows
from workflow_lib.errors import UserError


@dataclass(frozen=True)
class Row:
    name: Filled
    flag: bool
    label: bool | None
    count: int | None
    share: Share
    short: Annotated[float, Written(".2f")] | None
    words: tuple[str, ...]
    either: float | str | None


ROWS = (
    Row("a, b", True, False, 3, 0.1 + 0.2, 0.25, ("x", "y"), 1e-7),
    Row("ö", False, None, None, 1.0, None, (), "text"),
)


def test_rows_come_back_equal(tmp_path):
    write_rows(tmp_path / "rows.csv", Row, ROWS)
    header, first, second = (tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()
    assert header == ",".join(columns(Row))
    assert (first, second) == ('"a, b",yes,0,3,0.30000000000000004,0.25,x y,1e-07', "ö,no,,,1.0,,,text")
    assert read_rows(tmp_path / "rows.csv", Row, "") == ROWS


def test_undefined_numbers_are_empty_and_columns_may_be_given(tmp_path):
    (tmp_path / "rows.csv").write_text("flag,label,count,share,short,words,either,more\nyes,,,1,nan,,,x\n")
    assert read_rows(tmp_path / "rows.csv", Row, "", name="b") == (Row("b", True, None, None, 1.0, None, (), None),)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"a, b"', " ", "line 2: name is empty, but must be filled; write it again or correct the cell"),
        (",yes", ",maybe", "line 2: flag is 'maybe', but must be one of yes, no"),
        (",no,,", ",no,2,", "line 3: label is '2', but must be 0, 1 or empty"),
        ("1.0", "1.1", "line 3: share is '1.1', but must lie between 0 and 1"),
        (",text", "", "line 3: 7 cells, but the header has 8; write it again"),
        ("count", "number", "column count is missing"),
    ],
)
def test_a_fault_is_named_with_its_place(tmp_path, old, new, message):
    path = tmp_path / "rows.csv"
    write_rows(path, Row, ROWS)
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_rows(path, Row, "write it again")
    assert message in str(caught.value)
