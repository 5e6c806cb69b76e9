"""Tests of KV version 2: values and the life of their versions."""

from typing import Any

import pytest

from tests.unit.vault.edge.compat.conftest import NOW, Wire
from vault.errors import NotFoundError
from vault.model.payloads import PatchSecret, ReadSecret, SecretVersions, WriteSecret
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


async def test_read(wire: Wire) -> None:
    """The value byte for byte, with its version."""
    wire.gate.answers["secret.read"] = value(b'{"a":1.50}')
    answer = await wire.ask("GET", "secret/data/app/x")
    assert (answer.status, wire.last.path, wire.last.payload) == (
        200, "secret/app/x", ReadSecret(version=0),
    )  # fmt: skip
    assert b'"data":{"data":{"a":1.50},"metadata":{' in answer.body
    assert answer.json["data"]["metadata"] == {
        "created_time": "2027-01-15T08:00:00.000000005Z",
        "custom_metadata": {"team": "blue"},
        "deletion_time": "",
        "destroyed": False,
        "version": 3,
    }


@pytest.mark.parametrize(("query", "number"), [("2", 2), ("0", 0), ("-1", 0), ("", 0)])
async def test_read_a_version(wire: Wire, query: str, number: int) -> None:
    """Zero, and below it, is the current one."""
    wire.gate.answers["secret.read"] = value(b"{}")
    answer = await wire.ask("GET", f"secret/data/x?version={query}" if query else "secret/data/x")
    assert (answer.status, wire.last.payload) == (200, ReadSecret(version=number))


async def test_a_version_is_a_number(wire: Wire) -> None:
    """Anything else is refused."""
    assert (await wire.ask("GET", "secret/data/x?version=one")).status == 400


async def test_a_deleted_version_is_a_404_that_tells_of_it(wire: Wire) -> None:
    """Clients read the metadata from it."""
    wire.gate.answers["secret.read"] = value(None, deletion_time=NOW)
    answer = await wire.ask("GET", "secret/data/x")
    assert answer.status == 404
    assert answer.json["data"]["data"] is None
    assert answer.json["data"]["metadata"]["deletion_time"] == "2027-01-15T08:00:00Z"


async def test_write(wire: Wire) -> None:
    """200 with the version (spring-vault insists), and a remark on what is not of KV."""
    wire.gate.answers["secret.write"] = SecretWritten(secret=SECRET, version=version())
    body = b'{"data": {"b": 1.50}, "options": {"cas": "2"}, "extra": 1}'
    answer = await wire.ask("PUT", "secret/data/x", body, {"Content-Type": "text/plain"})
    assert (answer.status, answer.json["data"]["version"]) == (200, 3)
    assert answer.json["warnings"] == ["Endpoint ignored these unrecognized parameters: [extra]"]
    assert wire.last.payload == WriteSecret(value=b'{"b": 1.50}', cas=2)


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


async def test_patch(wire: Wire) -> None:
    """A merge patch, whatever parameters its label has."""
    wire.gate.answers["secret.patch"] = SecretWritten(secret=SECRET, version=version())
    body = b'{"data": {"a": null}, "options": {"cas": 3}}'
    assert (await wire.ask("PATCH", "secret/data/x", body, PATCH)).status == 200
    assert wire.last.payload == PatchSecret(patch=b'{"a": null}', cas=3)


async def test_a_patch_is_labelled_so(wire: Wire) -> None:
    """The CLI goes by it."""
    answer = await wire.ask("PATCH", "secret/data/x", {"data": {}})
    assert (answer.status, wire.gate.asked) == (415, [])


async def test_patch_of_nothing(wire: Wire) -> None:
    """No secret: no body; a deleted version: no errors. Measured on OpenBao."""
    wire.gate.answers["secret.patch"] = NotFoundError("secret_not_found", "no")
    answer = await wire.ask("PATCH", "secret/data/x", {"data": {}}, PATCH)
    assert (answer.status, answer.body) == (404, b"")
    wire.gate.answers["secret.patch"] = NotFoundError("version_not_found", "no")
    assert (await wire.ask("PATCH", "secret/data/x", {"data": {}}, PATCH)).errors == []


async def test_delete_the_current_version(wire: Wire) -> None:
    """204, and again 204."""
    wire.gate.answers["secret.delete"] = SECRET
    assert (await wire.ask("DELETE", "secret/data/x")).status == 204
    assert wire.last.payload == SecretVersions()


@pytest.mark.parametrize("verb", ["delete", "undelete", "destroy"])
async def test_edit_versions(wire: Wire, verb: str) -> None:
    """Numbers, as numbers or text; a secret that is not there has nothing to edit."""
    for answer in (SECRET, NotFoundError("secret_not_found", "no")):
        wire.gate.answers[f"secret.{verb}"] = answer
        sent = await wire.ask("POST", f"secret/{verb}/a/x", {"versions": [1, "2"]})
        assert (sent.status, sent.body) == (204, b"")
        assert (wire.last.path, wire.last.payload) == (
            "secret/a/x",
            SecretVersions(versions=(1, 2)),
        )


@pytest.mark.parametrize("body", [{}, {"versions": []}])
@pytest.mark.parametrize("verb", ["delete", "undelete", "destroy"])
async def test_which_versions(wire: Wire, verb: str, body: object) -> None:
    """None is not all."""
    assert (await wire.ask("PUT", f"secret/{verb}/x", body)).errors == [
        "No version number provided"
    ]


@pytest.mark.parametrize(
    ("depth", "keys"),
    [
        ("", {"a": None, "b": {"c": {"d": None}}}),
        ("?depth=0", {"a": None, "b": {"c": {"d": None}}}),
        ("?depth=1", {"a": None, "b": None}),
        ("?depth=2", {"a": None, "b": {"c": None}}),
    ],
)
async def test_subkeys(wire: Wire, depth: str, keys: object) -> None:
    """The shape of a value without the value."""
    wire.gate.answers["secret.read"] = value(b'{"a":[1],"b":{"c":{"d":"hunter2"}}}')
    answer = await wire.ask("GET", f"secret/subkeys/x{depth}")
    assert answer.json["data"]["subkeys"] == keys
    assert b"hunter2" not in answer.body


async def test_subkeys_of_a_deleted_version(wire: Wire) -> None:
    """As a read of it."""
    wire.gate.answers["secret.read"] = value(None, destroyed=True)
    answer = await wire.ask("GET", "secret/subkeys/x")
    assert (answer.status, answer.json["data"]["subkeys"]) == (404, None)
