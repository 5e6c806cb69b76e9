"""The interface of the CA's ledger: transactions that are committed as a whole.

The store implements `CaStore`; `tests/support/memory_ca_store.py` is a second implementation, and
`tests/contract/control/test_ca_ledger.py` holds both to the same promises. Every instant is in Unix
nanoseconds, every key is the SHA-256 of its SubjectPublicKeyInfo in DER (32 bytes).
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol, TypeVar

from msgspec import Struct

from control.model.records import Alert
from protocols.pki.names import AgentName

T = TypeVar("T")


class AgentState(StrEnum):
    """Whether an agent's certificates are valid."""

    ACTIVE = "active"
    LOCKED = "locked"
    """Something is wrong (a stolen certificate): nothing counts until a person enrols it anew."""
    RETIRED = "retired"


class EnrolmentToken(Struct, frozen=True, kw_only=True):
    """A right to enrol once. The token's text is not kept, only its SHA-256."""

    id: str
    hash: bytes
    name: AgentName
    replace: bool
    """May take over the name of an agent that exists, whose certificates are then revoked."""
    created_by: str
    created_at: int
    expires_at: int
    used_at: int | None = None
    used_by: bytes | None = None
    """The key that it was burnt for."""


class EnrolledAgent(Struct, frozen=True, kw_only=True):
    """An enrolled agent."""

    name: AgentName
    state: AgentState
    generation: int
    """Of its newest certificate: 1 for the first, then 1 more each time, whatever the way."""
    confirmed: int
    """The newest generation that it has been seen with: an older one is in wrong hands."""
    link_key: bytes
    """Its Ed25519 public key, 32 bytes: signs its messages, and brings it back after expiry."""
    enrolled_at: int
    changed_at: int
    reason: str = ""
    """Why it is locked or retired; for people."""


class IssuedCertificate(Struct, frozen=True, kw_only=True):
    """A certificate of an agent. A key is certified once, ever."""

    serial: str
    """40 lower-case hex digits."""
    key: bytes
    name: AgentName
    generation: int
    der: bytes
    issuer: str
    """Id of the authority that signed it (`protocols.pki.authority.IssuingAuthority.id`)."""
    not_before: int
    not_after: int
    revoked_at: int | None = None


class JoinState(StrEnum):
    """The state of a request to join."""

    PENDING = "pending"
    APPROVED = "approved"
    REFUSED = "refused"


class JoinRecord(Struct, frozen=True, kw_only=True):
    """A request of an agent without a token. Nothing that it says about itself is believed."""

    id: str
    key: bytes
    """Of its certificate request: what a person approves is this key and `link_key`, no other."""
    link_key: bytes
    org: str
    """Whose people may see it; empty: only those of the control plane."""
    label: str
    """What the agent calls itself; for people."""
    source: str
    """Address that it came from."""
    client: str
    """Whose that is (`protocols.client_network`)."""
    site: str
    requested_at: int
    expires_at: int
    state: JoinState = JoinState.PENDING
    name: AgentName | None = None
    """Given by the person who approved it."""
    replace: bool = False
    decided_by: str = ""
    decided_at: int | None = None


class JoinCounts(Struct, frozen=True, kw_only=True):
    """Other requests to join."""

    pending: int
    """That have not expired."""
    of_org: int
    """Those of them for the same organization, of the same client, of the same site."""
    of_client: int
    of_site: int
    lately: int
    """All that came since an instant, whatever their state."""
    lately_of_org: int


class CaTransaction(Protocol):
    """One transaction. It sees its own writes; nobody else sees any of them before the commit."""

    def has_organization(self, org: str) -> bool:
        """Whether the organization exists."""
        ...

    def token(self, token_hash: bytes) -> EnrolmentToken | None:
        """The token with this hash."""
        ...

    def tokens(self, org: str, limit: int) -> Sequence[EnrolmentToken]:
        """The organization's tokens, newest first (by `created_at`, then `id`), at most `limit`."""
        ...

    def put_token(self, token: EnrolmentToken) -> None:
        """Add it, or replace the one with its `id`."""
        ...

    def delete_token(self, org: str, token_id: str) -> bool:
        """Remove it; whether it was there."""
        ...

    def agent(self, name: AgentName) -> EnrolledAgent | None:
        """The agent of this name."""
        ...

    def put_agent(self, agent: EnrolledAgent) -> None:
        """Add it, or replace the one of its name."""
        ...

    def certificate(self, serial: str) -> IssuedCertificate | None:
        """The certificate with this serial."""
        ...

    def certificate_of(self, key: bytes) -> IssuedCertificate | None:
        """The certificate of this key."""
        ...

    def certificates(self, name: AgentName, now: int) -> Sequence[IssuedCertificate]:
        """Those of an agent that have not expired (`not_after >= now`), by generation upwards."""
        ...

    def put_certificate(self, issued: IssuedCertificate) -> None:
        """Add it, or replace the one with its serial.

        Raises `ValueError` when another certificate has its key.
        """
        ...

    def join(self, join_id: str) -> JoinRecord | None:
        """The request with this id."""
        ...

    def join_of(self, key: bytes) -> JoinRecord | None:
        """The request of this key."""
        ...

    def put_join(self, join: JoinRecord) -> None:
        """Add it, or replace the one with its id. Raises `ValueError` when another has its key."""
        ...

    def joins(
        self, org: str | None, state: JoinState, now: int, limit: int
    ) -> Sequence[JoinRecord]:
        """Unexpired requests (`expires_at > now`) in this state, oldest first (then by id).

        `org`: those for this organization (empty: for none); None: all.
        """
        ...

    def count_joins(self, join: JoinRecord, since: int) -> "JoinCounts":
        """Other requests at the instant of this one (`requested_at`), and those `since`."""
        ...

    def latest_expiry(self) -> int:
        """The latest `not_after` of those that are not revoked; 0 for none."""
        ...

    def raise_alert(self, alert: Alert) -> None:
        """Store it for the people of its organization."""
        ...

    def delete_expired(self, before: int) -> int:
        """Delete tokens and requests that expired before the instant, and certificates likewise.

        An agent's newest certificate stays, and so do all from the one on that it was last seen
        with: it may return by that. Returns how many rows went.
        """
        ...


class CaStore(Protocol):
    """Runs transactions."""

    async def transact(self, step: Callable[[CaTransaction], T]) -> T:
        """Run `step` as one serializable transaction and return what it returns, once durable.

        If it raises, nothing of it remains and its exception passes through unchanged. After a
        conflict with another transaction it may run again from the start: it has no effect but on
        the transaction. It does not block and may run in another thread.
        """
        ...
