"""How results are printed: aligned text for people, JSON or YAML for programs."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import zip_longest
from typing import Any, Final

GAP: Final = "  "  # between columns
EMPTY_NOTE: Final = "none"
"""Told of an empty list, beside the result: a script that loops over lines gets none."""


class OutputFormat(StrEnum):
    """`--output`."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def print_value(value: Any, output_format: OutputFormat, columns: Sequence[str] = ()) -> None:
    """Print a result. As a table: an object is `key value` lines, a list of objects has a row each.

    `columns` are those that the table of a list has; JSON and YAML always have everything.
    """
    if output_format is OutputFormat.JSON:
        print_json(value)
    elif output_format is OutputFormat.YAML:
        sys.stdout.write(encode_yaml(value))
    elif isinstance(value, Mapping):
        _print(("key", "value"), ((_visible(key), _cell(item)) for key, item in value.items()))
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        chosen = columns or tuple(dict.fromkeys(key for row in value for key in row))
        _print(chosen, ([_cell(row.get(key)) for key in chosen] for row in value))
    elif isinstance(value, list):
        if not value:
            print_note(EMPTY_NOTE)
        sys.stdout.writelines(f"{_cell(item)}\n" for item in value)
    elif value is not None:
        print_text(value if isinstance(value, str) else encode_json(value))


def print_json(value: Any) -> None:
    """Print what is JSON for people too, such as a policy."""
    sys.stdout.write(f"{encode_json(value, indent=2)}\n")


def encode_json(value: Any, indent: int | None = None) -> str:
    """JSON with letters as they are; what a terminal or a reader could be steered by is escaped."""
    return escape_json(json.dumps(value, indent=indent, ensure_ascii=False))


def encode_yaml(value: Any) -> str:
    """YAML with letters as they are; what could steer a terminal or a reader is escaped."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Texts that hold such characters are in double quotes, where YAML has escapes."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # each value stands alone
            return True

    def represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        style = None if text.isprintable() else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent)
    whole: str = yaml.dump(
        value, Dumper=Dumper, allow_unicode=True, sort_keys=False, width=sys.maxsize
    )
    whole = whole.removesuffix("...\n")  # which ends a document that is one scalar
    return "".join(c if c.isprintable() or c == "\n" else _yaml_escape(c) for c in whole)


def escape_json(document: str) -> str:
    """The same JSON, on lines as before, without a control or invisible character in it.

    Of JSON that is valid such characters are in strings only, where an escape means the same.
    """
    if document.isprintable():
        return document
    return "".join(c if c.isprintable() or c == "\n" else _json_escape(c) for c in document)


def print_text(value: str) -> None:
    """Print a text as it is, such as a secret; at a terminal with its control characters escaped.

    Line breaks and tabs stay.
    """
    sys.stdout.write(f"{_on_lines(value) if sys.stdout.isatty() else value}\n")


def print_note(text: str) -> None:
    """Say something to the person, beside the result: one line on stderr."""
    sys.stderr.write(f"{_visible(text)}\n")


def print_warnings(answer: Mapping[str, Any]) -> None:
    """Tell each warning of an answer on a line of its own."""
    for warning in answer.get("warnings") or ():
        print_note(f"Warning: {warning}")


def _cell(value: object) -> str:
    if value is None:
        return ""
    return _visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _visible(text: str) -> str:
    """The text with its control characters escaped: a name cannot steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _on_lines(text: str) -> str:
    return "".join(c if c.isprintable() or c in "\n\t" else _visible(c) for c in text)


def _json_escape(character: str) -> str:
    """RFC 8259, section 7: in UTF-16, so an astral one is a pair."""
    return json.dumps(character)[1:-1] if character > "\x7f" else f"\\u{ord(character):04x}"


def _yaml_escape(character: str) -> str:
    """YAML 1.2, section 5.7; only in double quotes, where such a character stands."""
    return f"\\U{ord(character):08x}"


def _print(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Lines are as long as they must be: a terminal wraps them, `cut` and `awk` rely on them."""
    lines = [columns, *rows]
    widths = [max(map(len, cells)) for cells in zip_longest(*lines, fillvalue="")]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write(f"{GAP.join(padded).rstrip()}\n")
