"""`/api/v1/system/usage`: the owner's side of opaque ids."""

import json
from typing import Any

from vault.model.usage import ResolvedId, ResolveOpaqueId, SecretUsage, UsageReport

NONE = (0,) * 7


async def test_what_would_be_named_with_its_name(wire: Any) -> None:
    """Times as RFC 3339, null for never; an expiry that is switched off is none."""
    one = SecretUsage(
        opaque=b"o" * 16, name="s/a", reads=0, last_read=0, rotated_at=10**18, expires_at=-1
    )
    wire.gate.answers["usage.look"] = UsageReport(
        total=1, never_read=1, idle=NONE, age=NONE, expires=NONE, named=(one,)
    )
    body = json.loads((await wire.ask("GET", "system/usage")).body)
    assert (body["total"], body["never_read"]) == (1, 1)
    [named] = body["named"]
    assert (named["opaque"], named["name"]) == ((b"o" * 16).hex(), "s/a")
    assert (named["last_read"], named["expires_at"]) == (None, None)
    assert named["rotated_at"].startswith("2001-09-09T")


async def test_whose_an_id_is(wire: Any) -> None:
    """The id is handed on as it is; it is no path, so nobody's rights hang on it."""
    wire.gate.answers["usage.who"] = ResolvedId(kind="secret", name="s/a", id="x")
    body = json.loads((await wire.ask("GET", "system/usage/00ff")).body)
    assert body == {"kind": "secret", "name": "s/a", "id": "x"}
    op = wire.gate.asked[-1]
    assert (op.name, op.path, op.payload) == (
        "usage.who",
        "sys/usage",
        ResolveOpaqueId(opaque="00ff"),
    )
