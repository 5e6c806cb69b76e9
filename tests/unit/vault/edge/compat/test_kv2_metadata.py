"""Tests of KV version 2 beside the values."""

from typing import Any

import pytest

from tests.unit.vault.edge.compat.conftest import NOW, Wire
from vault.edge.compat import kv2_metadata
from vault.errors import AuthorizationError, NotFoundError
from vault.model.operation import Operation
from vault.model.payloads import ListKeys, WriteMetadata
from vault.model.records import SecretRow, VersionRow
from vault.model.results import KeyList, SecretInfo

PATCH = {"Content-Type": "application/merge-patch+json"}
HOUR = 3600 * 10**9


def info(**changes: Any) -> SecretInfo:
    """What the handler finds."""
    row = {
        "name": "secret/x", "id": "s", "current_version": 2, "oldest_version": 1,
        "delete_version_after": HOUR, "max_versions": 5, "created_at": NOW, "updated_at": NOW + 1,
        "created_by": "ann",
    }  # fmt: skip
    versions = [
        VersionRow(
            secret_id="s", version=n, wrapped_dek=b"", box=b"", kek_generation=1,
            created_at=NOW + n, created_by="ann", deletion_time=NOW if n == 1 else 0,
        )
        for n in (1, 2)
    ]  # fmt: skip
    return SecretInfo(
        secret=SecretRow(**(row | changes)),
        versions=versions,
        relabelled={},
        access=None,
        mount=None,
    )


async def test_write(wire: Wire) -> None:
    """What is given is set; the custom metadata as a whole."""
    wire.gate.answers["secret.metadata.write"] = None
    body = {
        "custom_metadata": {"a": 1}, "max_versions": "3", "cas_required": "true",
        "delete_version_after": 3600,
    }  # fmt: skip
    assert (await wire.ask("POST", "secret/metadata/x", body)).status == 204
    assert wire.last.payload == WriteMetadata(
        metadata={"a": "1"}, max_versions=3, cas_required=True, delete_version_after=HOUR
    )


async def test_a_secret_cannot_switch_deletion_off(wire: Wire) -> None:
    """A mount can; a secret's negative duration is refused."""
    body = {"delete_version_after": "-1s"}
    assert (await wire.ask("POST", "secret/metadata/x", body)).status == 400


async def test_patch(wire: Wire) -> None:
    """A null takes a key away, and sets a field back."""
    wire.gate.answers["secret.metadata.write"] = None
    body = {"custom_metadata": {"a": None, "b": "1"}, "max_versions": None, "cas_required": None}
    assert (await wire.ask("PATCH", "secret/metadata/x", body, PATCH)).status == 204
    assert wire.last.payload == WriteMetadata(
        metadata={"a": None, "b": "1"}, merge=True, max_versions=0, cas_required=False,
        must_exist=True,
    )  # fmt: skip
    await wire.ask("PATCH", "secret/metadata/x", {"custom_metadata": None}, PATCH)
    assert wire.last.payload == WriteMetadata(metadata={}, merge=False, must_exist=True)
    await wire.ask("PATCH", "secret/metadata/x", {}, PATCH)
    assert wire.last.payload == WriteMetadata(merge=True, must_exist=True)


async def test_bad_patches(wire: Wire) -> None:
    """Not labelled so; not text; of nothing."""
    assert (await wire.ask("PATCH", "secret/metadata/x", {})).status == 415
    body = {"custom_metadata": {"a": 5}}
    assert (await wire.ask("PATCH", "secret/metadata/x", body, PATCH)).status == 400
    wire.gate.answers["secret.metadata.write"] = NotFoundError("secret_not_found", "no")
    answer = await wire.ask("PATCH", "secret/metadata/x", {}, PATCH)
    assert (answer.status, answer.body) == (404, b"")


async def test_list(wire: Wire) -> None:
    """Pages by `after` and `limit`; an empty folder is absent."""
    wire.gate.answers["secret.keys"] = KeyList(keys=["a", "b/"])
    for path, folder in (
        ("metadata", "secret/"),
        ("metadata/", "secret/"),
        ("metadata/a", "secret/a/"),
    ):
        answer = await wire.ask("LIST", f"secret/{path}?after=x&limit=2")
        assert answer.json["data"] == {"keys": ["a", "b/"]}
        assert (wire.last.path, wire.last.payload) == (folder, ListKeys(after="x", limit=2))
    wire.gate.answers["secret.keys"] = KeyList(keys=[])
    answer = await wire.ask("LIST", "secret/metadata?limit=-1")
    assert (answer.status, answer.errors, wire.last.payload) == (404, [], ListKeys())


async def test_detailed_list(wire: Wire) -> None:
    """Folders, and secrets whose metadata the caller may not read, are named only."""

    def read(op: Operation) -> object:
        return info() if op.path == "secret/f/a" else AuthorizationError("permission_denied", "no")

    wire.gate.answers["secret.keys"] = KeyList(keys=["a", "b", "c/"])
    wire.gate.answers["secret.metadata.read"] = read
    data = (await wire.ask("LIST", "secret/detailed-metadata/f")).json["data"]
    assert wire.gate.asked[0].payload == ListKeys(looked_at=True)
    assert data["keys"] == ["a", "b", "c/"]
    assert data["key_info"]["a"]["current_version"] == 2
    assert (data["key_info"]["b"], data["key_info"]["c/"]) == ({}, {})


async def test_a_detailed_list_has_a_size(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be too large to answer is refused as soon as that is known."""
    wire.gate.answers["secret.keys"] = KeyList(keys=["a", "b", "c"])
    wire.gate.answers["secret.metadata.read"] = lambda _op: info()
    whole = await wire.ask("LIST", "secret/detailed-metadata")
    monkeypatch.setattr(kv2_metadata, "MAX_RESULT_BYTES", len(whole.body) // 3)
    answer = await wire.ask("LIST", "secret/detailed-metadata")
    assert (answer.status, "limit" in answer.errors[0]) == (400, True)
    assert [op.name for op in wire.gate.asked[4:]] == ["secret.keys"] + ["secret.metadata.read"] * 2


async def test_a_detailed_list_is_bounded(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry is a read with its own record."""
    monkeypatch.setattr(kv2_metadata, "MAX_DETAILED", 2)
    wire.gate.answers["secret.keys"] = KeyList(keys=["a", "b", "c"])
    assert (await wire.ask("LIST", "secret/detailed-metadata")).status == 400
    assert len(wire.gate.asked) == 1


async def test_the_roots_hold_nothing(wire: Wire) -> None:
    """A 404 that says so in a warning, which the CLI prints."""
    for path in ("secret/data", "secret/metadata"):
        answer = await wire.ask("GET", path)
        assert (answer.status, answer.json["data"]) == (404, None)
        assert "root of a K/V v2 mount" in answer.json["warnings"][0]
