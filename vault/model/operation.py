"""What a dialect asks of the pipeline, and what it gets back: wire-free, frozen."""

from enum import StrEnum
from typing import Any, Final, Generic, Protocol, TypeVar

from msgspec import Struct

from vault.errors import UnavailableError
from vault.model.acl.access import ApiAccess
from vault.model.path import ResourcePath

P = TypeVar("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Capability(StrEnum):
    """The verbs of a policy. `delete` covers undelete; `destroy` cannot be taken back."""

    CREATE = "create"
    READ = "read"
    READ_METADATA = "read_metadata"
    UPDATE = "update"
    DELETE = "delete"
    DESTROY = "destroy"
    LIST = "list"
    SUDO = "sudo"


class Origin(Struct, frozen=True, kw_only=True):
    """Where a request came from, as far as the server saw it itself."""

    ip: str
    user_agent: str = ""
    dialect: str = "native"
    browser: bool = False  # the credential came in a session's cookie, which counts from our page
    peer_certificate: bytes | None = None  # DER, verified by TLS
    by_browser: bool = False  # for some page, which may be another's: its certificate says nothing


LARGE_VALUE: Final = 16 << 10
"""Bytes of an answer from which on memory is reserved for it. Smaller ones are bounded by the
requests in hand."""
COPIES: Final = 2  # of an answer while it is made: what was read, and what is sent


class ResponseBudget(Protocol):
    """What the answer to a request may hold until its client has it. It ends with the request."""

    def take_nowait(self, size: int) -> bool:
        """Hold `size` bytes more, if there is room for them now."""

    async def take(self, size: int) -> bool:
        """Hold `size` bytes more, waiting for room; False if there was none for a while."""


class UnboundedBudget:
    """For the agent's own operations, whose results wait for no client."""

    def take_nowait(self, size: int) -> bool:  # noqa: ARG002  # the signature of `ResponseBudget`
        """There is room."""
        return True

    async def take(self, size: int) -> bool:  # noqa: ARG002  # the signature of `ResponseBudget`
        """There is room."""
        return True


UNBOUNDED_BUDGET: Final = UnboundedBudget()


def answers_full() -> UnavailableError:
    """The error for an answer for which there is no memory."""
    return UnavailableError(
        "answers_full",
        "too many answers wait for their readers; wait and try again, or raise limits.answer_bytes",
    )


class ServedState(Struct):
    """Of which state of the store the answer to a request is; set by what runs its operations."""

    commits: int = 0
    """The number of a commit: what was read has it and all before it, what was written is in it or
    before it. 0: not told."""
    as_of: int = 0
    """Unix ns, where the answer may lack what was acknowledged later: a stale read; 0: it is none.
    """
    required: int = 0
    """The number of a commit that the caller has seen: an answer without it is of no use."""

    def add_read(self, commits: int, as_of: int) -> None:
        """One operation more begins, with all commits up to this number; `as_of` as here."""
        self.commits = min(self.commits, commits) if self.commits else commits
        self.as_of = min(self.as_of, as_of) if self.as_of and as_of else self.as_of or as_of

    def add_write(self, commits: int) -> None:
        """One has changed something, by a commit of at most this number."""
        self.commits = max(self.commits, commits)


class InlineLogin(Protocol):
    """A login that goes with a request: where, and what is shown there."""

    @property
    def path(self) -> str:
        """The mount's, and what follows it."""
        ...

    @property
    def fields(self) -> dict[str, Any]:
        """Decoded, and not checked."""
        ...


class OperationType(Struct, Generic[P, R], frozen=True):
    """A kind of operation: its name, the type `P` of its payload and the type `R` of its result.

    All of them are in `vault.operations`.
    """

    name: str


class Operation(Struct, Generic[P, R_co], frozen=True, kw_only=True):
    """One thing to do, to one place, asked with one credential.

    `type` says which handler runs it, `payload` are that handler's frozen parameters.
    `service` names the background work that asks, which needs no credential: only the agent's own
    code can make such an operation, no dialect does. `caught_up`: its request has seen what was
    acknowledged before it. `memory`: what a handler reserves before it loads or decrypts anything
    large. `served`: where the caller is told which state answered. `api`: what policies in Vault's
    language are asked, of a request that came in that dialect. `inline`: a login that is shown in
    place of a credential.
    """

    type: OperationType[P, R_co]
    path: ResourcePath
    payload: P
    request_id: str
    credential: str | None  # the text that was presented; never logged, dropped after step 1
    origin: Origin
    service: str = ""
    caught_up: bool = False
    memory: ResponseBudget = UNBOUNDED_BUDGET
    served: ServedState | None = None
    api: ApiAccess | None = None
    inline: InlineLogin | None = None

    @property
    def name(self) -> str:
        """The name of its type (`secret.read`), as audit records, metrics and spans have it."""
        return self.type.name

    def __repr__(self) -> str:
        return f"Operation(name={self.name!r}, request_id={self.request_id!r})"


class RunOperation(Protocol):
    """What runs an operation: the pipeline, or whatever hands operations on to it."""

    async def __call__(self, op: Operation[P, R], /) -> R:
        """The result of the operation. Raises `VaultError`."""
        ...


def service_operation(
    operation: OperationType[P, R], path: str, payload: P, *, service: str, request_id: str
) -> Operation[P, R]:
    """An operation of the agent's own background work, which is audited under `service`."""
    return Operation(
        type=operation,
        path=ResourcePath.parse(path),
        payload=payload,
        request_id=request_id,
        credential=None,
        origin=Origin(ip="", dialect="service"),
        service=service,
    )


class SecretFacts(Struct, frozen=True):
    """What a policy condition may ask about the thing itself."""

    exists: bool = False
    tags: frozenset[str] = frozenset()
    metadata: dict[str, str] = {}


NO_FACTS = SecretFacts()
