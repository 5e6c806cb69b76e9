"""`/api/v1/roles`: named sets of policies."""

import json
from typing import Any

from vault.model.payloads import WriteRole
from vault.model.records import RoleRow
from vault.model.results import RoleWritten

ROW = RoleRow(name="dev", policies=["app"], created_at=10**18, updated_at=10**18)


async def test_roles(wire: Any) -> None:
    """Each verb goes to the path that policies name, with what was asked for."""
    wire.gate.answers |= {"role.write": RoleWritten(role=ROW), "role.read": ROW, "role.list": [ROW]}
    reply = await wire.ask("PUT", "roles/dev", {"policies": ["app"]})
    assert json.loads(reply.body)["policies"] == ["app"]
    assert wire.asked == ("role.write", "sys/roles/dev")
    assert wire.last.payload == WriteRole(description="", policies=("app",))
    assert json.loads((await wire.ask("GET", "roles/dev")).body)["name"] == "dev"
    assert json.loads((await wire.ask("GET", "roles")).body)["roles"][0]["name"] == "dev"
    assert wire.asked == ("role.list", "sys/roles/")
    assert (await wire.ask("DELETE", "roles/dev")).status == 204
    assert wire.asked == ("role.delete", "sys/roles/dev")


async def test_names_are_canonical(wire: Any) -> None:
    """Another case of a name is no other role, and a name with a space is refused."""
    wire.gate.answers["role.write"] = RoleWritten(role=ROW)
    assert (await wire.ask("PUT", "roles/Dev", {"policies": []})).status == 200
    assert wire.asked == ("role.write", "sys/roles/dev")
    assert (await wire.ask("PUT", "roles/d%20v", {"policies": []})).status == 400
