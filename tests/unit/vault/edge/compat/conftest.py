"""A dialect over a gate that answers as it is told and remembers what it was asked."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from actors.testing import FakeWorld
from vault.authn.methods.method import AuthSurface
from vault.edge.compat import CompatDialect
from vault.errors import UnavailableError
from vault.model.mounts import MountTable
from vault.model.operation import Operation, Origin
from vault.model.payloads import MalformedRequest
from vault.model.records import MountRow
from vault.seal.manager import InitResult, SealStatus

NOW = 1_800_000_000 * 10**9
MOUNTS = (
    MountRow(path="secret/", id="m2", accessor="kv_2", version=2, created_at=NOW),
    MountRow(path="old/", id="m1", accessor="kv_1", version=1, created_at=NOW),
    MountRow(path="team/blue/", id="m3", accessor="kv_3", version=2, created_at=NOW),
)
OPEN = SealStatus(
    type="shamir", initialized=True, sealed=False, threshold=2, shares=3, vault="vault-id-1"
)


class FakeGate:
    """Answers operations from `answers`: a value, an error to raise, or a function of it."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[Operation] = []
        self.malformed: list[Operation] = []
        self.calls: list[object] = []
        self.state = OPEN
        self.book = MountTable(MOUNTS)
        self.auth = AuthSurface()

    async def knows(self, credential: str | None, origin: Origin) -> bool:  # noqa: ARG002
        """Whoever shows one is known."""
        return credential is not None and credential != "wrong"

    async def catch_up(self) -> None:
        """Nobody else commits."""

    async def run_operation(self, op: Operation) -> object:
        """One operation."""
        if isinstance(op.payload, MalformedRequest):  # as of somebody who may do anything
            self.malformed.append(op)
            raise op.payload.error
        self.asked.append(op)
        answer = self.answers[op.name]
        if callable(answer):
            answer = answer(op)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def mounts(self) -> MountTable:
        """The mounts, while open."""
        if self.state.sealed:
            raise UnavailableError("sealed", "Vault is sealed")
        return self.book

    @property
    def is_open(self) -> bool:
        """Whether it is."""
        return not self.state.sealed

    def status(self) -> SealStatus:
        """As set."""
        return self.state

    async def initialize(self, shares: int, threshold: int) -> InitResult:
        """Two shares of three bytes."""
        self.calls.append(("initialise", shares, threshold))
        return InitResult(shares=(b"\x01\x02\x03", b"\xff\xfe\xfd"), root_token="s.root")

    async def auto_unseal(self) -> bool:
        """Remembered."""
        self.calls.append("unseal_alone")
        return False

    async def unseal(self, share: bytes) -> SealStatus:
        """Remembered."""
        self.calls.append(("unseal", share))
        return self.state

    def reset_unseal(self) -> SealStatus:
        """Remembered."""
        self.calls.append("reset")
        return self.state

    async def wait_sealed(self) -> None:
        """Remembered."""
        self.calls.append("wait_sealed")


@dataclass
class Answer:
    """What went over the wire."""

    status: int
    body: bytes
    headers: dict[bytes, bytes]
    endpoint: str

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def errors(self) -> list[str]:
        """The messages of an error."""
        errors: list[str] = self.json["errors"]
        return errors


@dataclass
class Wire:
    """A client of the dialect."""

    gate: FakeGate = field(default_factory=FakeGate)
    world: FakeWorld = field(default_factory=FakeWorld)
    token: str = "s.token"

    def __post_init__(self) -> None:
        self.compat = CompatDialect(self.gate, self.world)  # type: ignore[arg-type]  # the fake has what it asks

    async def ask(
        self, method: str, path: str, body: object = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """One request; a body that is not bytes is sent as JSON."""
        raw, _, query = path.partition("?")
        sent = {"X-Vault-Token": self.token} | (headers or {})
        scope = {
            "method": method,
            "raw_path": b"/v1/" + raw.encode(),
            "query_string": query.encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in sent.items() if v],
            "client": ("10.0.0.1", 1234),
        }
        content = body if isinstance(body, bytes) else json.dumps(body).encode()

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": content, "more_body": False}

        reply, endpoint = await self.compat.handle(scope, receive)
        return Answer(reply.status, reply.body, dict(reply.headers), endpoint)

    @property
    def last(self) -> Operation:
        """The last operation that was asked for."""
        return self.gate.asked[-1]


@pytest.fixture
def wire() -> Wire:
    """A client with a token."""
    return Wire()


@pytest.fixture
def now() -> int:
    """The instant of the rows."""
    return NOW


@pytest.fixture
def mount() -> Callable[..., MountRow]:
    """A mount's row with what matters changed."""

    def make(**changes: Any) -> MountRow:
        row = {"path": "secret/", "id": "m2", "accessor": "kv_2", "created_at": NOW}
        return MountRow(**(row | changes))

    return make
