"""Tests of KV version 2: values and the life of their versions."""

from typing import Any

import pytest

from tests.unit.vault.edge.compat.conftest import NOW, Wire
from vault.model.payloads import ReadSecret, WriteSecret
from vault.model.records import SecretRow, VersionRow
from vault.model.results import SecretValue, SecretWritten

PATCH = {"Content-Type": "application/merge-patch+json; charset=utf-8"}
SECRET = SecretRow(
    name="secret/x", id="s", current_version=3, metadata={"team": "blue"}, created_at=NOW,
    updated_at=NOW, created_by="ann",
)  # fmt: skip


def version(**changes: Any) -> VersionRow:
    """A version with what matters changed."""
    row = {
        "secret_id": "s", "version": 3, "wrapped_dek": b"", "box": b"", "kek_generation": 1,
        "created_at": NOW + 5, "created_by": "ann",
    }  # fmt: skip
    return VersionRow(**(row | changes))


def value(text: bytes | None, **changes: Any) -> SecretValue:
    """What the handler finds."""
    return SecretValue(secret=SECRET, version=version(**changes), value=text)


@pytest.mark.parametrize(("query", "number"), [("2", 2), ("0", 0), ("-1", 0), ("", 0)])
async def test_read_a_version(wire: Wire, query: str, number: int) -> None:
    """Zero, and below it, is the current one."""
    wire.gate.answers["secret.read"] = value(b"{}")
    answer = await wire.ask("GET", f"secret/data/x?version={query}" if query else "secret/data/x")
    assert (answer.status, wire.last.payload) == (200, ReadSecret(version=number))


async def test_a_version_is_a_number(wire: Wire) -> None:
    """Anything else is refused."""
    assert (await wire.ask("GET", "secret/data/x?version=one")).status == 400


async def test_a_null_is_kept(wire: Wire) -> None:
    """As OpenBao keeps it."""
    wire.gate.answers["secret.write"] = SecretWritten(secret=SECRET, version=version())
    await wire.ask("POST", "secret/data/x", {"data": None, "options": None})
    assert wire.last.payload == WriteSecret(value=b"null")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "no data provided"),
        ({"data": "x"}, 'error converting input for field "data": expected a map'),
        ({"data": {}, "options": []}, 'error converting input for field "options": expected a map'),
        ({"data": {}, "options": {"cas": "x"}}, "error parsing check-and-set parameter"),
    ],
)  # fmt: skip
async def test_bad_writes(wire: Wire, body: object, error: str) -> None:
    """In words that clients match."""
    answer = await wire.ask("POST", "secret/data/x", body)
    assert (answer.status, answer.errors) == (400, [error])


@pytest.mark.parametrize(
    ("options", "cas"), [(None, None), ({}, None), ({"x": 1}, None), ({"cas": None}, 0),
                         ({"cas": ""}, 0), ({"cas": "2"}, 2)],
)  # fmt: skip
async def test_a_check_that_is_asked_for_is_made(
    wire: Wire, options: object, cas: int | None
) -> None:
    """A null or an empty one is for a secret that is not there yet: it overwrites nothing."""
    wire.gate.answers["secret.write"] = SecretWritten(secret=SECRET, version=version())
    await wire.ask("POST", "secret/data/x", {"data": {}, "options": options})
    assert wire.last.payload == WriteSecret(value=b"{}", cas=cas)


@pytest.mark.parametrize("verb", ["delete", "undelete", "destroy"])
async def test_versions_are_not_of_a_folder(wire: Wire, verb: str) -> None:
    """As nothing is written to one."""
    answer = await wire.ask("POST", f"secret/{verb}/x/", {"versions": [1]})
    assert (answer.status, answer.errors) == (400, ["cannot write to a path ending in '/'"])


async def test_a_patch_is_labelled_so(wire: Wire) -> None:
    """The CLI goes by it."""
    answer = await wire.ask("PATCH", "secret/data/x", {"data": {}})
    assert (answer.status, wire.gate.asked) == (415, [])


@pytest.mark.parametrize("body", [{}, {"versions": []}])
@pytest.mark.parametrize("verb", ["delete", "undelete", "destroy"])
async def test_which_versions(wire: Wire, verb: str, body: object) -> None:
    """None is not all."""
    missing = "no version number provided" if verb == "destroy" else "No version number provided"
    assert (await wire.ask("PUT", f"secret/{verb}/x", body)).errors == [missing]


@pytest.mark.parametrize(
    ("depth", "keys"),
    [
        ("", {"a": None, "b": {"c": {"d": None}}, "e": None}),
        ("?depth=0", {"a": None, "b": {"c": {"d": None}}, "e": None}),
        ("?depth=1", {"a": None, "b": None, "e": None}),
        ("?depth=-1", {"a": None, "b": None, "e": None}),
        ("?depth=2", {"a": None, "b": {"c": None}, "e": None}),
    ],
)
async def test_subkeys(wire: Wire, depth: str, keys: object) -> None:
    """The shape of a value without the value."""
    wire.gate.answers["secret.read"] = value(b'{"a":[1],"b":{"c":{"d":"hunter2"}},"e":{}}')
    answer = await wire.ask("GET", f"secret/subkeys/x{depth}")
    assert answer.json["data"]["subkeys"] == keys
    assert b"hunter2" not in answer.body


async def test_a_null_has_no_subkeys(wire: Wire) -> None:
    """It may be written, and so it is looked at."""
    wire.gate.answers["secret.read"] = value(b"null")
    answer = await wire.ask("GET", "secret/subkeys/x")
    assert (answer.status, answer.json["data"]["subkeys"]) == (200, None)
