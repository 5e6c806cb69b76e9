"""`/api/v1/secrets`: values pass as the bytes they are, and only on demand."""

import json
from typing import Any

import pytest

from vault.errors import NotFoundError
from vault.model.payloads import (
    PatchSecret,
    ReadSecret,
)
from vault.model.records import SecretRow, VersionRow
from vault.model.results import (
    SecretValue,
    SecretWritten,
)

ROW = SecretRow(
    name="secret/a", id="s1", current_version=2, created_at=10**18, updated_at=10**18,
    created_by="root",
)  # fmt: skip
VERSION = VersionRow(
    secret_id="s1", version=2, wrapped_dek=b"w", box=b"b", kek_generation=1, created_at=10**18,
    created_by="alice",
)  # fmt: skip
WRITTEN = SecretWritten(secret=ROW, version=VERSION)


async def test_a_value_is_read_as_it_was_written(wire: Any) -> None:
    """The bytes of the value are spliced in, so that no number or order is changed."""
    value = b'{"b":1.10,"a":[1e400]}'
    wire.gate.answers["secret.read"] = SecretValue(secret=ROW, version=VERSION, value=value)
    reply = await wire.ask("GET", "secrets/secret/a?version=2")
    assert b'"value":' + value in reply.body
    assert wire.asked == ("secret.read", "secret/a")
    assert wire.last.payload == ReadSecret(version=2)


async def test_a_deleted_version_has_no_value(wire: Any) -> None:
    """It is a 404 with a reason of its own."""
    wire.gate.answers["secret.read"] = SecretValue(secret=ROW, version=VERSION, value=None)
    reply = await wire.ask("GET", "secrets/secret/a")
    assert (reply.status, json.loads(reply.body)["code"]) == (404, "version_deleted")


async def test_a_merge_patch_keeps_its_bytes(wire: Any) -> None:
    """The patch is the body; its label is demanded, its cas comes in the query."""
    wire.gate.answers["secret.patch"] = WRITTEN
    label = {"Content-Type": "application/merge-patch+json; charset=utf-8"}
    reply = await wire.ask("PATCH", "secrets/secret/a?cas=2", b'{"a":null}', label)
    assert reply.status == 200
    assert wire.last.payload == PatchSecret(patch=b'{"a":null}', cas=2)
    assert (await wire.ask("PATCH", "secrets/secret/a", b"{}")).status == 415


@pytest.mark.parametrize("name", ["a//b", "a/../b", "a%2Fb", "a%00", "sys/x", "a%20", "%FF"])
async def test_an_ambiguous_name_reaches_nobody(wire: Any, name: str) -> None:
    """It is refused before there is an operation, with an error that does not repeat it."""
    reply = await wire.ask("GET", f"secrets/{name}")
    assert reply.status == 400
    assert json.loads(reply.body)["type"] == "validation"
    assert wire.gate.asked == []


async def test_errors_are_typed(wire: Any) -> None:
    """Type, code, message, request id and time; the id is in the header too."""
    wire.gate.answers["secret.read"] = NotFoundError("secret_not_found", "there is no such secret")
    reply = await wire.ask("GET", "secrets/secret/a")
    body = json.loads(reply.body)
    assert reply.status == 404
    assert body["code"] == "secret_not_found"
    assert dict(reply.headers)[b"x-request-id"].decode() == body["request_id"]
    assert body["timestamp"].endswith("Z")
