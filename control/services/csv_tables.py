"""Tables as CSV (RFC 4180, UTF-8) that no spreadsheet takes for formulas. Pure.

OWASP, "CSV Injection": a cell that begins with one of `FORMULA_PREFIXES` may be run; with a `'`
before it, it is text.
"""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Final

Cell = str | int | float | None
FORMULA_PREFIXES: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """The table with its heading. None is an empty cell; numbers are left alone."""
    return csv_rows([columns]) + csv_rows(rows)


def csv_rows(rows: Iterable[Sequence[Cell]]) -> bytes:
    """Some of its rows."""
    text = StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerows([_escape_formula(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def _escape_formula(cell: Cell) -> Cell:
    if isinstance(cell, str) and cell.startswith(FORMULA_PREFIXES):
        return f"'{cell}"
    return cell
