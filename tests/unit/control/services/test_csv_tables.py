"""Tables that a spreadsheet shows and does not run."""

import csv
from io import StringIO

import pytest

from control.services.csv_tables import FORMULA_PREFIXES, csv_table


@pytest.mark.parametrize("begin", FORMULA_PREFIXES)
def test_no_cell_is_a_formula(begin: str) -> None:
    """Whatever a name begins with, the cell begins with an apostrophe."""
    body = csv_table(["name"], [[f'{begin}HYPERLINK("http://thief.example","x")']])
    [_, [cell]] = csv.reader(StringIO(body.decode(), newline=""))
    assert cell == f"'{begin}" + 'HYPERLINK("http://thief.example","x")'


def test_other_cells_come_back_as_they_were() -> None:
    """Quotes, commas and line ends are quoted; None is empty; a negative number is a number."""
    body = csv_table(["a", "b"], [['say "hi", you', -1.5], ["two\nlines", None]])
    assert body.startswith(b"a,b\r\n")
    assert list(csv.reader(StringIO(body.decode(), newline="")))[1:] == [
        ['say "hi", you', "-1.5"],
        ["two\nlines", ""],
    ]
