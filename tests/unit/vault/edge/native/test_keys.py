"""`/api/v1/keys`: a key's text is there once, in the answer that makes it."""

import json
from typing import Any

from vault.authn.api_keys import ApiKey, CreatedKey
from vault.model.identity import Permission
from vault.model.payloads import CreateApiKey, ListApiKeys

KEY = ApiKey(
    id="k1", user_id="u1", name="ci", permissions=(), expires_at=0, created_at=10**18,
    created_by="root", status="active", last_used=0, uses=2,
)  # fmt: skip


async def test_a_key_is_made_and_shown_once(wire: Any) -> None:
    """The text is in the answer that makes the key and in no other."""
    wire.gate.answers["key.create"] = CreatedKey(key=KEY, text="fh_text")
    wire.gate.answers["key.read"] = KEY
    wire.gate.answers["key.list"] = [KEY]
    permission = {"capabilities": ["read"], "paths": ["secret/a"]}
    body = {"user": "alice", "name": "ci", "permissions": [permission]}
    made = await wire.ask("POST", "keys", body)
    assert made.status == 201
    assert json.loads(made.body)["key"] == "fh_text"
    assert wire.asked == ("key.create", "sys/keys/")
    assert wire.last.payload == CreateApiKey(
        user="alice", name="ci", expires_at=0,
        permissions=[Permission(capabilities=("read",), paths=("secret/a",))],
    )  # fmt: skip
    assert "key" not in json.loads((await wire.ask("GET", "keys/k1")).body)
    listed = json.loads((await wire.ask("GET", "keys?user=alice")).body)
    assert wire.last.payload == ListApiKeys(user="alice")
    assert "key" not in listed["keys"][0]
    assert listed["keys"][0]["expires_at"] is None


async def test_what_is_not_known_is_refused(wire: Any) -> None:
    """A misspelt field is an error, so that a key is never wider than was meant."""
    body = {"user": "alice", "name": "ci", "permission": []}
    assert (await wire.ask("POST", "keys", body)).status == 400
    assert (await wire.ask("POST", "keys")).status == 400
    assert (await wire.ask("GET", "keys")).status == 400
    assert wire.gate.asked == []
