"""How results are shown: tables for people, JSON for programs."""

import json
import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.table import Table


class Format(StrEnum):
    """`--output`."""

    TABLE = "table"
    JSON = "json"


def show(value: Any, form: Format) -> None:
    """Print a result: an object as two columns, a list of objects as a table, a text as it is."""
    if form is Format.JSON:
        json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
    elif isinstance(value, Mapping):
        _print(("key", "value"), ((key, _cell(item)) for key, item in value.items()))
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        columns = tuple(dict.fromkeys(key for row in value for key in row))
        _print(columns, ([_cell(row.get(key)) for key in columns] for row in value))
    elif isinstance(value, list):
        sys.stdout.writelines(f"{item}\n" for item in value)
    elif value is not None:
        sys.stdout.write(f"{value}\n")


def tell(text: str) -> None:
    """Say something to the person, beside the result: on stderr."""
    sys.stderr.write(f"{text}\n")


def _cell(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _print(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=not sys.stdout.isatty())
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
