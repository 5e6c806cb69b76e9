"""Tests of KV version 1."""

from typing import Any

import pytest

from tests.unit.vault.edge.compat.conftest import NOW, Wire
from vault.edge.compat.kv1 import lease_seconds
from vault.model.records import SecretRow, VersionRow
from vault.model.results import KeyList, SecretValue


def value(text: bytes | None) -> SecretValue:
    """What the handler finds."""
    return SecretValue(
        secret=SecretRow(name="old/x", id="s", created_at=NOW, updated_at=NOW, created_by="ann"),
        version=VersionRow(
            secret_id="s", version=1, wrapped_dek=b"", box=b"", kek_generation=1, created_at=NOW,
            created_by="ann",
        ),
        value=text,
    )  # fmt: skip


async def test_a_deleted_one_is_absent(wire: Wire) -> None:
    """There are no versions to tell of."""
    wire.gate.answers["secret.read"] = value(None)
    answer = await wire.ask("GET", "old/x")
    assert (answer.status, answer.errors) == (404, [])


@pytest.mark.parametrize("body", [b'{"a": "\xff"}', b'{"a": 1e999}', b'{"a": }'])
async def test_a_value_must_be_readable_later(wire: Wire, body: bytes) -> None:
    """It is kept undecoded, so it is checked to the last character."""
    assert (await wire.ask("PUT", "old/x", body)).status == 400
    assert wire.gate.asked == []


async def test_a_folder_is_no_place_for_a_value(wire: Wire) -> None:
    """Neither one below the mount nor the mount."""
    for path in ("old", "old/", "old/x/"):
        assert (await wire.ask("PUT", path, {"a": 1})).status == 400


async def test_list(wire: Wire) -> None:
    """From the mount or below; pages are of version 2, and asking for one is remarked."""
    wire.gate.answers["secret.keys"] = KeyList(keys=["a", "b/"])
    for path, folder in (("old", "old/"), ("old/", "old/"), ("old/b", "old/b/")):
        answer = await wire.ask("LIST", path)
        assert (answer.json["data"], wire.last.path) == ({"keys": ["a", "b/"]}, folder)
    answer = await wire.ask("GET", "old/?list=true&limit=1")
    assert answer.json["warnings"] == ["Endpoint ignored these unrecognized parameters: [limit]"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b'{"a":1}', 2_764_800),
        (b'{"ttl":"1h"}', 3600),
        (b'{"ttl":60}', 60),
        (b'{"ttl":"-90s"}', -90),
        (b'{"lease":"30m"}', 1800),
        (b'{"ttl":"1h","lease":"30m"}', 3600),
        (b'{"ttl":"","lease":"30m"}', 0),
        (b'{"ttl":null}', 0),
        (b'{"ttl":"soon"}', 2_764_800),
        (b'{"ttl":1.5}', 2_764_800),
        (b'{"ttl":{}}', 2_764_800),
        (b'{"a":{"ttl":"1h"}}', 2_764_800),
        (b'["ttl"]', 2_764_800),
    ],
)
def test_leases(text: bytes, seconds: Any) -> None:
    """A value says itself how long to keep it, in `ttl` or else `lease`; measured on OpenBao."""
    assert lease_seconds(text) == seconds
