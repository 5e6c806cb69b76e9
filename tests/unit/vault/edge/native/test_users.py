"""`/api/v1/users`: people and machines."""

import json
from typing import Any

from vault.model.payloads import CreateUser, ListUsers, UpdateUser
from vault.model.records import UserRow
from vault.model.results import UserWritten

ROW = UserRow(
    id="u1", username="Alice", name_key="alice", created_at=10**18, updated_at=10**18
)  # fmt: skip


async def test_a_user_is_created(wire: Any) -> None:
    """What was asked for reaches the handler, and the internal key of the name stays inside."""
    wire.gate.answers["user.create"] = UserWritten(user=ROW, warnings=("w",))
    body = {"username": "Alice", "roles": ["dev"], "policies": ["app"]}
    reply = await wire.ask("POST", "users", body)
    assert reply.status == 201
    assert "name_key" not in json.loads(reply.body)
    assert wire.asked == ("user.create", "sys/users/")
    assert wire.last.payload == CreateUser(
        username="Alice", email="", roles=("dev",), policies=("app",)
    )


async def test_a_full_page_has_a_cursor(wire: Any) -> None:
    """The cursor is the last id of a full page, and empty on the last page."""
    wire.gate.answers["user.list"] = [ROW]
    full = json.loads((await wire.ask("GET", "users?limit=1")).body)
    last = json.loads((await wire.ask("GET", "users?limit=2&cursor=u0")).body)
    assert (full["cursor"], last["cursor"]) == ("u1", "")
    assert wire.last.payload == ListUsers(username="", after="u0", limit=2)
    assert (await wire.ask("GET", "users?limit=0")).status == 400


async def test_a_user_is_read_changed_and_deleted(wire: Any) -> None:
    """What is left out of a change stays open."""
    wire.gate.answers |= {"user.read": ROW, "user.update": UserWritten(user=ROW)}
    assert json.loads((await wire.ask("GET", "users/u1")).body)["username"] == "Alice"
    assert (await wire.ask("PATCH", "users/u1", {"status": "disabled"})).status == 200
    assert wire.asked == ("user.update", "sys/users/u1")
    assert wire.last.payload == UpdateUser(email=None, roles=None, policies=None, status="disabled")
    assert (await wire.ask("DELETE", "users/u1")).status == 204
    assert wire.asked == ("user.delete", "sys/users/u1")
