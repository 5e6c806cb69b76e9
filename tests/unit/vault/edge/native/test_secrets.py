"""`/api/v1/secrets`: values pass as the bytes they are, and only on demand."""

import json
from typing import Any

import pytest

from vault.errors import NotFoundError
from vault.model.payloads import (
    CompareVersions,
    ListSecrets,
    PatchSecret,
    ReadSecret,
    RollbackSecret,
    SecretVersions,
    WriteMetadata,
    WriteSecret,
)
from vault.model.records import SecretRow, VersionRow
from vault.model.results import (
    SecretPage,
    SecretValue,
    SecretWritten,
    VersionComparison,
    VersionLabels,
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


async def test_creating_and_updating(wire: Any) -> None:
    """A creation must find nothing, an update must find something; neither answers the value."""
    wire.gate.answers["secret.write"] = WRITTEN
    body = {"name": "secret/a", "value": {"p": "x"}, "tags": ["t"], "metadata": {"k": "v"}}
    reply = await wire.ask("POST", "secrets", body)
    assert reply.status == 201
    assert "value" not in json.loads(reply.body)
    payload = wire.last.payload
    assert (payload.create_only, payload.must_exist) == (True, False)
    assert json.loads(payload.value) == {"p": "x"}
    reply = await wire.ask("PUT", "secrets/secret/a", {"value": "y", "cas": 2, "expires_at": ""})
    payload = wire.last.payload
    assert isinstance(payload, WriteSecret)
    assert (payload.value, payload.cas, payload.expires_at) == (b'"y"', 2, 0)
    assert (payload.create_only, payload.must_exist, payload.tags) == (False, True, None)


@pytest.mark.parametrize(
    ("method", "path", "body", "name", "payload"),
    [
        ("POST", "delete/secret/a", {"versions": [1, 2]}, "secret.delete",
         SecretVersions(versions=(1, 2))),
        ("POST", "undelete/secret/a", {}, "secret.undelete", SecretVersions()),
        ("POST", "destroy/secret/a", {"versions": [1]}, "secret.destroy",
         SecretVersions(versions=(1,))),
        ("POST", "rollback/secret/a", {"version": 1, "cas": 2}, "secret.rollback",
         RollbackSecret(version=1, cas=2)),
        ("PATCH", "metadata/secret/a", {"tags": ["x"], "metadata": {"k": None}},
         "secret.metadata.write",
         WriteMetadata(merge=True, must_exist=True, tags=["x"], metadata={"k": None})),
    ],
)  # fmt: skip
async def test_changes(
    wire: Any, method: str, path: str, body: object, name: str, payload: object
) -> None:
    """Each verb asks for its operation with what was given, and answers the head."""
    wire.gate.answers |= dict.fromkeys(("secret.delete", "secret.undelete", "secret.destroy"), ROW)
    wire.gate.answers |= {"secret.rollback": WRITTEN, "secret.metadata.write": ROW}
    reply = await wire.ask(method, path, body)
    assert json.loads(reply.body)["name"] == "secret/a"
    assert wire.asked == (name, "secret/a")
    assert wire.last.payload == payload


async def test_a_merge_patch_keeps_its_bytes(wire: Any) -> None:
    """The patch is the body; its label is demanded, its cas comes in the query."""
    wire.gate.answers["secret.patch"] = WRITTEN
    label = {"Content-Type": "application/merge-patch+json; charset=utf-8"}
    reply = await wire.ask("PATCH", "secrets/secret/a?cas=2", b'{"a":null}', label)
    assert reply.status == 200
    assert wire.last.payload == PatchSecret(patch=b'{"a":null}', cas=2)
    assert (await wire.ask("PATCH", "secrets/secret/a", b"{}")).status == 415


async def test_listing(wire: Any) -> None:
    """All filters reach the search; a page has heads and no values."""
    wire.gate.answers["secret.list"] = SecretPage(secrets=[ROW], cursor="c")
    reply = await wire.ask(
        "GET", "secrets?prefix=secret&tags=a,b&metadata=k:v,l:w&status=active&limit=5"
    )
    assert json.loads(reply.body)["cursor"] == "c"
    assert wire.asked == ("secret.list", "secret/")
    assert wire.last.payload == ListSecrets(
        tags=("a", "b"), metadata={"k": "v", "l": "w"}, status="active", limit=5
    )
    assert (await wire.ask("GET", "secrets?metadata=k")).status == 400


async def test_two_versions_are_compared(wire: Any) -> None:
    """`from` is a version, `to` another or, left out, the secret as it is now."""
    now = VersionLabels.current(ROW)
    wire.gate.answers["secret.metadata.diff"] = VersionComparison(secret=ROW, before=now, after=now)
    assert (await wire.ask("GET", "diff/secret/a?from=1&to=2")).status == 200
    assert wire.last.payload == CompareVersions(before=1, after=2)
    assert wire.asked == ("secret.metadata.diff", "secret/a")
    await wire.ask("GET", "diff/secret/a?from=1")
    assert wire.last.payload == CompareVersions(before=1, after=0)
    for wrong in ("", "?from=0", "?to=1", "?from=x", "?from=1&before=2"):
        assert (await wire.ask("GET", f"diff/secret/a{wrong}")).status == 400, wrong


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
