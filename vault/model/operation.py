"""What a dialect asks of the pipeline, and what it gets back: wire-free, frozen."""

from enum import StrEnum
from typing import Final, Protocol

from msgspec import Struct

from vault.errors import UnavailableError
from vault.model.path import ResourcePath


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

    def take_nowait(self, size: int) -> bool:  # noqa: ARG002  # as `Memory` has it
        """There is room."""
        return True

    async def take(self, size: int) -> bool:  # noqa: ARG002  # as `Memory` has it
        """There is room."""
        return True


UNBOUNDED_BUDGET: Final = UnboundedBudget()


def answers_full() -> UnavailableError:
    """The error for an answer for which there is no memory."""
    return UnavailableError(
        "answers_full",
        "too many answers wait for their readers; wait and try again, or raise limits.answer_bytes",
    )


class Operation(Struct, frozen=True, kw_only=True):
    """One thing to do, to one place, asked with one credential.

    `name` is the key of a handler (`secret.read`), `payload` that handler's frozen parameters.
    `service` names the background work that asks, which needs no credential: only the agent's own
    code can make such an operation, no dialect does. `part`: it is one of several of its request,
    others of which may be done already. `memory`: what a handler reserves before it loads or
    decrypts anything large.
    """

    name: str
    path: ResourcePath
    payload: object
    request_id: str
    credential: str | None  # the text that was presented; never logged, dropped after step 1
    origin: Origin
    service: str = ""
    part: bool = False
    memory: ResponseBudget = UNBOUNDED_BUDGET

    def __repr__(self) -> str:
        return f"Operation(name={self.name!r}, request_id={self.request_id!r})"


class SecretFacts(Struct, frozen=True):
    """What a policy condition may ask about the thing itself. `is_guess`: not looked up."""

    exists: bool = False
    tags: frozenset[str] = frozenset()
    metadata: dict[str, str] = {}
    is_guess: bool = False


NO_FACTS = SecretFacts()
