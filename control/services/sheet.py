"""Tables as CSV (RFC 4180, UTF-8) that no spreadsheet takes for formulas. Pure.

OWASP, "CSV Injection": a cell that begins with one of `FORMULA` may be run; with a `'` before it,
it is text.
"""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Final

Cell = str | int | float | None
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def sheet(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """The table with its heading. None is an empty cell; numbers are left alone."""
    return lines([columns]) + lines(rows)


def lines(rows: Iterable[Sequence[Cell]]) -> bytes:
    """Some of its rows."""
    text = StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def _safe(cell: Cell) -> Cell:
    if isinstance(cell, str) and cell.startswith(FORMULA):
        return f"'{cell}"
    return cell
