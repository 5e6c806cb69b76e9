"""The native dialect over a gate that answers as it is told and remembers what it was asked."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from actors.testing import FakeWorld
from vault.edge.native.dialect import NativeDialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.errors import AuthenticationError
from vault.model.operation import Operation, Origin
from vault.model.payloads import MalformedRequest


class FakeGate:
    """Answers operations from `answers`: a value, or an error to raise."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[Operation] = []
        self.malformed: list[Operation] = []
        self.waited: list[str] = []

    async def knows(self, credential: str | None, origin: Origin) -> bool:  # noqa: ARG002
        """Whoever shows one is known."""
        return credential is not None and credential != "wrong"

    async def catch_up(self) -> None:
        """Nobody else commits."""

    async def run_operation(self, op: Operation) -> object:
        """One operation."""
        if isinstance(op.payload, MalformedRequest):  # as of somebody who may do anything
            self.malformed.append(op)
            raise (
                op.payload.error if op.credential else AuthenticationError("unauthenticated", "no")
            )
        self.asked.append(op)
        answer = self.answers.get(op.name)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def wait_sealed(self) -> None:
        """Remembered."""
        self.waited.append("sealed")


@dataclass
class Wire:
    """A client of the dialect."""

    gate: FakeGate = field(default_factory=FakeGate)
    world: FakeWorld = field(default_factory=FakeWorld)
    token: str = "s.token"

    async def ask(
        self, method: str, path: str, body: object = b"", headers: dict[str, str] | None = None
    ) -> Reply:
        """One request; a body that is not bytes is sent as JSON."""
        raw, _, query = path.partition("?")
        sent = ({"Authorization": f"Bearer {self.token}"} if self.token else {}) | (headers or {})
        scope = {
            "method": method,
            "raw_path": b"/api/v1/" + raw.encode(),
            "query_string": query.encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in sent.items()],
            "client": ("10.0.0.1", 1234),
        }
        content = body if isinstance(body, bytes) else json.dumps(body).encode()

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": content, "more_body": False}

        dialect = NativeDialect(self.gate, self.world)  # type: ignore[arg-type]  # the fake has what it asks
        reply, _ = await dialect.handle(scope, receive)
        return reply

    @property
    def last(self) -> Operation:
        """The last operation that was asked for."""
        return self.gate.asked[-1]

    @property
    def asked(self) -> tuple[str, str]:
        """Name and path of the last operation."""
        return self.last.name, str(self.last.path)


@pytest.fixture
def wire() -> Wire:
    """A client with a token."""
    return Wire()


@pytest.fixture
def make_request() -> Callable[..., Request]:
    """A request that has been read; keywords are its query."""

    def make(method: str, path: str, body: bytes = b"", **query: str) -> Request:
        return Request(
            id="r1", method=method, path=path, query=query, headers={}, body=body,
            origin=Origin(ip="10.0.0.1"),
        )  # fmt: skip

    return make
