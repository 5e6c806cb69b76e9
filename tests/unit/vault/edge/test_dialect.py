"""Tests of what every dialect does alike."""

import logging
from typing import Any, ClassVar

import pytest
import trio

from actors.testing import FakeWorld
from vault.edge.dialect import (
    MAX_UNKNOWN_BODY,
    RETRY_AFTER,
    UNMATCHED,
    Dialect,
    refuse_cross_site,
)
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import (
    AuthorizationError,
    NotFoundError,
    RateLimitError,
    TamperedError,
    UnavailableError,
    VaultError,
)
from vault.model.operation import Operation, OperationType, Origin
from vault.model.path import ResourcePath
from vault.model.payloads import MalformedRequest, Nothing

_router = Router()


class Plain(Dialect):
    """Tells an error as its code."""

    name = "plain"
    prefix = "/p/"
    router: ClassVar[Router] = _router
    max_body = 100

    def error_reply(self, error: VaultError, request_id: str) -> Reply:
        """The code, and whose it is."""
        return Reply(error.status, f"{error.code} {request_id}".encode())


@_router.add("POST", template="raise/{what}")
async def _raise(dialect: Plain, request: Request, what: str) -> Reply:
    errors: dict[str, Exception] = {
        "undone": UnavailableError("store_full", "full", outcome="none"),
        "unknown": UnavailableError("store_timeout", "late", outcome="unknown"),
        "done": UnavailableError("outcome_unrecorded", "done", outcome="done"),
        "limit": RateLimitError("rate_limited", "wait", retry_after=7),
        "sealed": UnavailableError("sealed", "Vault is sealed"),
        "tampered": TamperedError("row_tampered", "a row"),
        "fault": RuntimeError("canary-5"),
        "none": NotFoundError("none", "none"),
    }
    raise errors[what]


@_router.add("GET", "POST", template="run/{path}")
async def _run(dialect: Plain, request: Request, path: str) -> Reply:
    result = await dialect.run_operation(
        request, OperationType("op"), ResourcePath.parse(path), Nothing()
    )
    return Reply(200, str(result).encode())


class FakeGate:
    """Remembers the last operation."""

    def __init__(self) -> None:
        self.asked: list[Operation] = []
        self.malformed: list[Operation] = []
        self.state = 0, 0  # the commit, and as of when

    async def knows(self, credential: str | None, origin: Origin) -> bool:  # noqa: ARG002
        """Whoever shows one is known."""
        return credential is not None and credential != "wrong"

    async def catch_up(self) -> None:
        """Nobody else commits."""

    async def run_operation(self, op: Operation) -> object:
        """Done."""
        if isinstance(op.payload, MalformedRequest):  # as of somebody who may do anything
            self.malformed.append(op)
            raise op.payload.error
        self.asked.append(op)
        if op.served is not None:
            op.served.add_read(*self.state)
        return "done"


class Wire:
    """A client."""

    def __init__(self) -> None:
        self.gate = FakeGate()
        self.dialect = Plain(self.gate, FakeWorld())  # type: ignore[arg-type]  # what it asks of one

    async def ask(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[Reply, str]:
        """One request."""
        scope = {
            "method": method, "raw_path": path.encode(), "query_string": b"",
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()], "client": None,
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        return await self.dialect.handle(scope, receive)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_only_pages_of_ours_change_anything_without_a_credential(site: str) -> None:
    """Another host of the same domain is another site."""
    request = Request(
        id="r", method="PUT", headers={b"sec-fetch-site": site.encode()}, origin=Origin(ip="")
    )
    with pytest.raises(AuthorizationError, match="another site"):
        refuse_cross_site(request)
    request.headers = {b"sec-fetch-site": b"same-origin"}
    refuse_cross_site(request)


@pytest.fixture
def wire() -> Wire:
    """A client."""
    return Wire()


@_router.add("POST", template="decode")
@_router.add("POST", template="share", public=True)
async def _decode(dialect: Plain, request: Request) -> Reply:
    decoded = request.decode_json(list[float])
    if dialect.router.match("POST", request.path.removeprefix("/p/"))[0].public:
        return Reply(200, str(len(decoded)).encode())
    result = await dialect.run_operation(
        request, OperationType("op"), ResourcePath.parse("x"), Nothing()
    )
    return Reply(200, str(result).encode())


@pytest.mark.parametrize("credential", [None, "wrong"])
async def test_a_large_body_of_who_is_not_known_is_not_decoded(
    wire: Wire, credential: str | None
) -> None:
    """It costs nothing but its bytes, and is refused as any operation would be, on record."""
    wire.dialect.max_body = 2 * MAX_UNKNOWN_BODY  # type: ignore[misc]  # this one's
    body = b"x" * (MAX_UNKNOWN_BODY + 1)
    headers = {} if credential is None else {"x-vault-token": credential}
    reply, _ = await wire.ask("POST", "/p/decode", body, **headers)
    assert (reply.status, reply.body.split()[0]) == (401, b"unauthenticated")
    (op,) = wire.gate.malformed
    assert op.credential == credential


async def test_a_large_body_of_who_is_known_is_decoded(wire: Wire) -> None:
    """And a small one of anybody, whom the operation then refuses."""
    wire.dialect.max_body = 2 * MAX_UNKNOWN_BODY  # type: ignore[misc]  # this one's
    body = b"[" + b" " * MAX_UNKNOWN_BODY + b"]"
    reply, _ = await wire.ask("POST", "/p/decode", body, **{"x-vault-token": "right"})
    assert reply.body == b"done"
    reply, _ = await wire.ask("POST", "/p/decode", b"x")
    assert reply.body.split()[0] == b"body_malformed"


async def test_what_needs_no_credential_takes_small_bodies_alone(wire: Wire) -> None:
    """Whoever has one shown beside it, too."""
    wire.dialect.max_body = 2 * MAX_UNKNOWN_BODY  # type: ignore[misc]  # this one's
    body = b"[" + b" " * (MAX_UNKNOWN_BODY - 2) + b"]"
    reply, _ = await wire.ask("POST", "/p/share", body)
    assert reply.status == 200
    reply, _ = await wire.ask("POST", "/p/share", body + b" ", **{"x-vault-token": "right"})
    assert (reply.status, reply.body.split()[0]) == (413, b"body_too_large")


async def test_an_operation_is_built_from_the_request(wire: Wire) -> None:
    """Its credential, its id, the path as decoded; the id is in the answer too."""
    reply, endpoint = await wire.ask("GET", "/p/run/a%20b/c", authorization="Bearer s.text")
    (op,) = wire.gate.asked
    assert (op.name, op.path, op.credential) == ("op", "a b/c", "s.text")
    assert (reply.body, endpoint) == (b"done", "/p/run/{path}")
    assert (b"x-request-id", op.request_id.encode()) in reply.headers


async def test_of_which_state_an_answer_is(wire: Wire) -> None:
    """Where that is known; of a stale one with the time."""
    told = (b"x-vault-index", b"x-freehold-as-of")
    for state, headers in (
        ((0, 0), []),
        ((7, 0), [(told[0], b"7")]),
        ((7, 10**18), [(told[0], b"7"), (told[1], b"2001-09-09T01:46:40Z")]),
    ):
        wire.gate.state = state
        reply, _ = await wire.ask("GET", "/p/run/a", authorization="Bearer s.text")
        assert [pair for pair in reply.headers if pair[0] in told] == headers


async def test_those_that_came_together_are_read_before_the_first_one_runs(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that each part of a request runs for all of them in a row (decision 14)."""
    diary: list[str] = []
    monkeypatch.setattr(wire.dialect, "find_route", lambda *a: diary.append("read") or find(*a))
    find = type(wire.dialect).find_route.__get__(wire.dialect)
    run = wire.gate.run_operation

    async def noted(op: Operation) -> object:
        diary.append("run")
        return await run(op)

    monkeypatch.setattr(wire.gate, "run_operation", noted)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wire.ask, "GET", "/p/run/a")
    assert diary == ["read"] * 3 + ["run"] * 3


@pytest.mark.parametrize(
    ("header", "credential"),
    [
        ("Bearer x", "x"), ("bearer  x ", "x"), ("Basic x", None), ("Bearer", None),
        ("Bearer ", None), ("", None),
    ],
)  # fmt: skip
async def test_bearer(wire: Wire, header: str, credential: str | None) -> None:
    """RFC 6750, section 2.1; anything else is no credential."""
    await wire.ask("GET", "/p/run/a", authorization=header)
    assert wire.gate.asked[0].credential == credential


async def test_a_vault_token_comes_first(wire: Wire) -> None:
    """As in OpenBao: `X-Vault-Token`, else a bearer."""
    await wire.ask("GET", "/p/run/a", **{"x-vault-token": "one", "authorization": "Bearer two"})
    assert wire.gate.asked[0].credential == "one"


@pytest.mark.parametrize(
    ("what", "status", "wait"),
    [
        ("limit", 429, b"7"), ("sealed", 503, b"%d" % RETRY_AFTER),
        ("tampered", 503, b"%d" % RETRY_AFTER), ("none", 404, None), ("fault", 500, None),
        ("undone", 503, b"%d" % RETRY_AFTER), ("unknown", 503, None), ("done", 503, None),
    ],
)  # fmt: skip
async def test_every_error_names_the_request(
    wire: Wire, what: str, status: int, wait: bytes | None
) -> None:
    """And whoever has to wait hears how long; not where he would do again what may be done."""
    reply, endpoint = await wire.ask("POST", f"/p/raise/{what}")
    headers = dict(reply.headers)
    assert (reply.status, endpoint) == (status, "/p/raise/{what}")
    assert reply.body.endswith(headers[b"x-request-id"])
    assert headers.get(b"retry-after") == wait


async def test_a_fault_of_ours_is_told_without_its_text(
    wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither to the caller nor in the log."""
    caplog.set_level(logging.DEBUG)
    reply, _ = await wire.ask("POST", "/p/raise/fault")
    assert reply.body.startswith(b"internal ")
    assert "RuntimeError" in caplog.text
    assert "canary-5" not in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/p/none", b"route_not_found"), ("PUT", "/p/run/a", b"method_not_allowed"),
        ("GET", "/p/run/%2f", b"path_invalid"), ("GET", "/p/run/a//b", b"path_invalid"),
    ],
)  # fmt: skip
async def test_what_leads_nowhere(wire: Wire, method: str, path: str, code: bytes) -> None:
    """Is an error of the dialect, and nothing is run; the label in metrics stays bounded."""
    reply, endpoint = await wire.ask(method, path)
    assert reply.body.startswith(code)
    assert wire.gate.asked == []
    assert endpoint in {UNMATCHED, "/p/run/{path}"}


async def test_the_body_is_bounded(wire: Wire) -> None:
    """By the dialect's own bound."""
    assert (await wire.ask("POST", "/p/run/a", b"x" * 100))[0].status == 200
    assert (await wire.ask("POST", "/p/run/a", b"x" * 101))[0].status == 413


async def test_each_request_has_its_own_id(wire: Wire) -> None:
    """Given by us: one that a client sends is not believed."""
    first, _ = await wire.ask("GET", "/p/run/a", **{"x-request-id": "mine"})
    second, _ = await wire.ask("GET", "/p/run/a")
    ids = {dict(reply.headers)[b"x-request-id"] for reply in (first, second)}
    assert len(ids) == 2
    assert b"mine" not in ids


async def test_what_fails_outside_of_a_dialect_is_told_as_its_own() -> None:
    """An error of ours with its status and `Retry-After`; the rest as 500, without its text."""
    dialect = Plain(FakeGate(), FakeWorld())  # type: ignore[arg-type]  # not asked
    late = dialect.failure_reply(UnavailableError("late", "look"))
    assert (late.status, dict(late.headers)[b"retry-after"]) == (503, b"1")
    assert late.body.startswith(b"late ")
    broken = dialect.failure_reply(ValueError("a secret"))
    assert broken.status == 500
    assert b"secret" not in broken.body
    for reply in (late, broken):
        assert dict(reply.headers)[b"x-request-id"] in reply.body


async def test_the_refusal_of_an_overload_says_when_to_come_back() -> None:
    """In the dialect's own shape, with an id and `Retry-After`."""
    reply = Plain(FakeGate(), FakeWorld()).overload_reply()  # type: ignore[arg-type]  # not asked
    headers = dict(reply.headers)
    assert reply.status == 503
    assert headers[b"retry-after"] == b"%d" % RETRY_AFTER
    assert reply.body.startswith(b"overloaded ")
    assert headers[b"x-request-id"] in reply.body
