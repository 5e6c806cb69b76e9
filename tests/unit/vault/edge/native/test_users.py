"""`/api/v1/users`: people and machines."""

import json
from typing import Any

from vault.model.payloads import ListUsers
from vault.model.records import UserRow

ROW = UserRow(
    id="u1", username="Alice", name_key="alice", created_at=10**18, updated_at=10**18
)  # fmt: skip


async def test_a_full_page_has_a_cursor(wire: Any) -> None:
    """The cursor is the last id of a full page, and empty on the last page."""
    wire.gate.answers["user.list"] = [ROW]
    full = json.loads((await wire.ask("GET", "users?limit=1")).body)
    last = json.loads((await wire.ask("GET", "users?limit=2&cursor=u0")).body)
    assert (full["cursor"], last["cursor"]) == ("u1", "")
    assert wire.last.payload == ListUsers(username="", after="u0", limit=2)
    assert (await wire.ask("GET", "users?limit=0")).status == 400
