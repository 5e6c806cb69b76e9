"""An endpoint: decoded, answered and encoded by what it declares."""

import json
from typing import Any

import pytest
from msgspec import Struct

from vault.edge.native.endpoint import Endpoints, build_router, system_folder, system_path
from vault.edge.reply import Reply
from vault.errors import ValidationError


class Body(Struct, frozen=True, forbid_unknown_fields=True):
    """A body with a field that must be there."""

    name: str


class Query(Struct, frozen=True, forbid_unknown_fields=True):
    """A query."""

    limit: int = 3


async def ask(request: Any, resource: Endpoints) -> Reply:
    """Route and answer one request."""
    route, values = build_router([resource]).match(request.method, request.path)
    reply: Reply = await route.answer(None, request, *values)
    return reply


@pytest.fixture
def things() -> Endpoints:
    """A resource with one endpoint of each kind."""
    things = Endpoints("things", "Things.")

    @things.add("POST", "things/{name}", "Make", body=Body, query=Query, returns=dict, status=201)
    async def make(_: Any, __: Any, name: str, *, body: Body, query: Query) -> dict[str, Any]:
        return {"of": name, "name": body.name, "limit": query.limit}

    @things.add("DELETE", "things/{name}", "End", status=204)
    async def end(_: Any, __: Any, name: str) -> None:
        assert name

    return things


async def test_decoded_answered_encoded(things: Endpoints, make_request: Any) -> None:
    """Path, query and body arrive as declared; the answer has the declared status."""
    reply = await ask(make_request("POST", "things/a", b'{"name":"x"}', limit="7"), things)
    assert (reply.status, json.loads(reply.body)) == (201, {"of": "a", "name": "x", "limit": 7})
    reply = await ask(make_request("DELETE", "things/a"), things)
    assert (reply.status, reply.body) == (204, b"")


@pytest.mark.parametrize(
    ("method", "body", "query"),
    [
        ("POST", b"", {}),
        ("POST", b"{}", {}),
        ("POST", b'{"name":1}', {}),
        ("POST", b'{"name":"x","extra":1}', {}),
        ("POST", b'{"name":"x"}', {"limit": "many"}),
        ("POST", b'{"name":"x"}', {"other": "1"}),
        ("DELETE", b'{"extra":1}', {}),
        ("DELETE", b"", {"other": "1"}),
    ],
)
async def test_what_is_not_declared_is_refused(
    things: Endpoints, make_request: Any, method: str, body: bytes, query: dict[str, str]
) -> None:
    """A missing, wrong or unknown field is a `ValidationError`, also where none is expected."""
    with pytest.raises(ValidationError):
        await ask(make_request(method, "things/a", body, **query), things)


async def test_a_loose_body_must_be_there(make_request: Any) -> None:
    """A document that its handler validates: none at all is no empty one, which would erase."""
    things = Endpoints("things", "Things.")

    @things.add("PUT", "things/{name}", "Write", body=dict[str, Any], returns=dict)
    async def write(_: Any, __: Any, name: str, *, body: dict[str, Any]) -> dict[str, Any]:
        return {name: body}

    with pytest.raises(ValidationError, match="body_missing"):
        await ask(make_request("PUT", "things/a"), things)
    reply = await ask(make_request("PUT", "things/a", b"{}"), things)
    assert json.loads(reply.body) == {"a": {}}


def test_places_in_the_path_space() -> None:
    """Things of a resource lie below `sys/`; listing asks for the folder."""
    assert system_path("users", "u1") == "sys/users/u1"
    assert system_path("audit") == "sys/audit"
    assert system_folder("users") == "sys/users/"
