"""The same requests to both servers, and what is compared of the answers."""

import json
import re
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from typing import Any

import msgspec
from msgspec import Struct

from tests.acceptance.compat.normal import normal
from tests.acceptance.compat.servers import Server

PATIENCE = 60.0  # seconds
Kept = dict[str, str]
_PASSED = re.compile(r'effective max_ttl of "\d+h\d+m\d+s"')  # told once a second has passed


class Call(Struct):
    """One request. `keep`: names for values of its answer, by dotted path.

    `until`: a text that the answer has once what was asked for before is done.
    """

    method: str
    path: str
    body: dict[str, Any] | None = None
    ttl: str = ""
    token: str = "{root}"
    keep: dict[str, str] = {}
    until: str = ""


def ask(server: Server, call: Call, kept: Kept) -> tuple[int, Any]:
    """The status and the decoded body of one answer."""
    host, port = server.address.removeprefix("http://").split(":")
    wire = HTTPConnection(host, int(port), timeout=30)
    headers = {"X-Vault-Token": call.token.format(**kept)}
    if call.ttl:
        headers["X-Vault-Wrap-TTL"] = call.ttl
    text = msgspec.json.encode(call.body) if call.body is not None else None
    for name, value in kept.items():
        text = None if text is None else text.replace(f"{{{name}}}".encode(), value.encode())
    path = call.path
    for name, value in kept.items():
        path = path.replace(f"{{{name}}}", value)
    wire.request(call.method, f"/v1/{path}", body=text, headers=headers)
    reply = wire.getresponse()
    body = reply.read()
    wire.close()
    return reply.status, msgspec.json.decode(body) if body else None


def answers_of(server: Server, mount: str, calls: Sequence[Call]) -> list[object]:
    """What all calls come to, one after the other."""
    kept: Kept = {"root": server.token}
    engine = Call("POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": "2"}})
    assert ask(server, engine, kept)[0] == 204
    found: list[object] = []
    for call in calls:
        text = msgspec.json.encode(call).replace(b"MOUNT", mount.encode())
        status, body = _settled(server, msgspec.json.decode(text, type=Call), kept)
        for name, path in call.keep.items():
            value = body
            for step in path.split("."):
                value = value[step]
            kept[name] = value
        found.append((status, _normal(body)))
    return found


def _settled(server: Server, call: Call, kept: Kept) -> tuple[int, Any]:
    """The answer, asked for again while it has not come to `until`."""
    end = time.monotonic() + PATIENCE
    while True:
        status, body = ask(server, call, kept)
        if call.until in json.dumps(body) or time.monotonic() > end:
            return status, body
        time.sleep(0.02)


def _normal(body: Any) -> object:
    """As others, and which token waits with the answer."""
    found = normal(body)
    if isinstance(found, dict) and found.get("warnings"):
        found["warnings"] = [one for one in found["warnings"] if not _PASSED.search(one)] or None
    for name in ("token", "wrapped_accessor"):
        if isinstance(body, dict) and name in (body.get("wrap_info") or {}):
            found["wrap_info"][name] = f"<{name}>"
    for part in (found, found.get("data")) if isinstance(found, dict) else ():
        if isinstance(part, dict) and "migration_id" in part:
            part["migration_id"] = "<id>"
    for part in ("auth", "data"):
        if isinstance(body, dict) and (body.get(part) or {}).get("entity_id"):
            found[part]["entity_id"] = "<entity_id>"
    return found
