"""JSON is decoded in one place, so that no number from outside holds up the event loop."""

import ast
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from control.api.rest_app import RESOURCES as CONTROL
from vault.edge.native.dialect import RESOURCES as NATIVE

HOME = "protocols/json_text.py"
STANDALONE = "vault/rotation/launcher.py"
"""A program of the standard library alone: it has one request, a deadline, and no event loop."""
DECODERS = {
    "msgspec.json.decode", "msgspec.json.Decoder", "json.load", "json.loads", "json.JSONDecoder",
}  # fmt: skip


def calls(file: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of whatever a module names with a dot."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute):
            yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and node.module in ("json", "msgspec.json"):
            yield from ((node.lineno, f"{node.module}.{name.name}") for name in node.names)


def test_no_module_has_a_decoder_of_its_own(root: Path) -> None:
    """Migrations read rows that an earlier release wrote."""
    found = [
        f"{file.relative_to(root)}:{line} {name}"
        for top in ("actors", "protocols", "vault", "control")
        for file in (root / top).rglob("*.py")
        if str(file.relative_to(root)) not in {HOME, STANDALONE} and "migrations" not in file.parts
        for line, name in calls(file)
        if name in DECODERS
    ]
    assert found == []


def test_the_search_finds_what_it_looks_for(root: Path) -> None:
    """In the one place where it is."""
    assert DECODERS & {name for _, name in calls(root / HOME)}


@pytest.mark.parametrize(
    "body", [endpoint.body for each in (*CONTROL, *NATIVE) for endpoint in each.all], ids=str
)
def test_no_body_has_numbers_that_the_hook_does_not_see(body: object) -> None:
    """The hook is asked for numbers without a type; a typed `float` costs 10 µs."""
    schema = msgspec.json.encode(msgspec.json.schema(body))
    assert b'"type":"number"' not in schema
