"""What the pipeline knows of a handler: which capability it takes, whether it changes anything."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from vault.authn.methods.method import LoginStep
from vault.authz.access import Decision
from vault.errors import ValidationError
from vault.model.acl.access import USUAL_FORM, ApiForm
from vault.model.identity import Identity
from vault.model.name import canonical_name
from vault.model.operation import (
    NO_FACTS,
    Capability,
    Operation,
    OperationType,
    P,
    R,
    SecretFacts,
    answers_full,
)

P_co = TypeVar("P_co", covariant=True)


class Call(Struct, Generic[P_co], frozen=True):
    """One authorized operation on its way into a handler.

    `needs_facts`: tags and metadata may have decided, so they must still be `facts` when it
    happens. `decision`: what was decided, with what a list is held to. `login`: what
    `Handler.authenticate` returned.
    """

    op: Operation[P_co, object]
    identity: Identity
    facts: SecretFacts = NO_FACTS
    needs_facts: bool = False
    decision: Decision = Decision(allowed=True)
    login: LoginStep | None = None

    @property
    def payload(self) -> P_co:
        """The operation's parameters."""
        return self.op.payload

    async def reserve(self, size: int) -> None:
        """Wait until the answer may hold `size` bytes more. Raises `UnavailableError`."""
        if not await self.op.memory.take(size):
            raise answers_full()

    @property
    def name(self) -> str:
        """What the operation is about: the end of the path that was authorized."""
        return self.op.path.rpartition("/")[2]

    @property
    def canonical_name(self) -> str:
        """As `name`, of a policy or role. Raises `ValidationError` for another spelling of it."""
        if canonical_name(self.name, "name") != self.name:
            raise ValidationError("name_invalid", "name is not in its one spelling", field="name")
        return self.name


CHANGED_MEANWHILE: Final = "changed_meanwhile"
"""Code of the `ConflictError` of a handler that has done nothing: what it was decided on (whether
the secret is there and, where these were decisive, its tags and metadata) is not so."""


def create_or_update(facts: SecretFacts) -> Capability:
    """The capability of an upsert: `create` where nothing is, `update` where something is."""
    return Capability.UPDATE if facts.exists else Capability.CREATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler(Generic[P, R]):
    """What runs one type of operation, and how the pipeline treats it.

    `capability` `None`: any authenticated caller; the handler filters. Failures count as refusals
    and are rate-limited as such.
    `mutates`: an intent record is durable before `run` is called.
    `precondition`: raises, before that record, for an operation that this caller cannot do.
    `targets_secret`: the path names a secret, so its facts are looked up for create-or-update and
    for conditions on tags and metadata.
    `api_forms`: how policies in Vault's language see it, each of which must be allowed, where that
    is not told by the capability.
    `proposed_facts`: the facts as the operation would leave them, which must be allowed too.
    `is_audited=False`: the handler touches no stored data. Successes and validation errors are not
    audited; denials are.
    `may_be_stale`: where `storage.stale_reads` is set, it is answered from memory while the
    database does not answer.
    `is_self_service`: any caller may, on their own things, and no secret is shown: it has a rate
    limit for each line of credentials (`limits.self_service`). `discloses`: whether a result shows
    anything that not every caller may see; one that does not has that rate limit, too.
    `only_refuses`: it does nothing but put a refusal on record.
    `before_intent`: called as soon as the operation is allowed, before its intent is on record. For
    sealing, which a log that does not answer must not prevent: its records are waited for shortly,
    and may be missing.
    `only_restricts`: it only takes away. Where what is stored cannot be read, what was in force
    decides. `authorized_by_shares`: no credential is asked for, since the handler asks for shares
    of the root key. `anonymous`: none is looked at; the caller is anonymous and held to the pace
    of those who fail. `authenticate`: step 1 of a login, whose credential is in the payload. It
    returns who it is, or raises `AuthenticationError`, which counts as a failure of its address.
    `audit_request`/`audit_response`: what of the payload and of the result the audit record shows
    (hashed).
    """

    operation: OperationType[P, R] = field(kw_only=False)
    run: Callable[[Call[P]], Awaitable[R]]
    capability: Capability | Callable[[SecretFacts], Capability] | None
    mutates: bool = False
    precondition: Callable[[Identity], Awaitable[object]] | None = None
    is_audited: bool = True
    may_be_stale: bool = False
    is_self_service: bool = False
    discloses: Callable[[R], bool] | None = None
    only_refuses: bool = False
    only_restricts: bool = False
    before_intent: Callable[[], object] | None = None
    authorized_by_shares: bool = False
    anonymous: bool = False
    authenticate: Callable[[Operation[P, R]], Awaitable[LoginStep]] | None = None
    targets_secret: bool = False
    proposed_facts: Callable[[P, SecretFacts], SecretFacts] | None = None
    api_forms: Callable[[P], tuple[ApiForm, ...]] = lambda _: (USUAL_FORM,)
    audit_request: Callable[[P], object] | None = None
    audit_response: Callable[[R], object] | None = None


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class _Registered(Protocol):
    """A `Handler` of any types: a parameter `Handler[Any, Any]` would leave each unchecked."""

    @property
    def operation(self) -> _Named: ...


Handlers: TypeAlias = dict[str, Handler[Any, Any]]
"""By the name of the operation. The one place where the types are not known: each handler was
checked against its operation, and the pipeline finds it by an operation of the same type."""


def handler_table(*handlers: _Registered) -> Handlers:
    """The handlers by the names of their operations."""
    table: dict[str, Any] = {one.operation.name: one for one in handlers}
    return table


def updated_facts(
    facts: SecretFacts, tags: list[str] | None, metadata: dict[str, str] | None
) -> SecretFacts:
    """The facts with what a write replaces; None keeps what is there."""
    return SecretFacts(
        exists=facts.exists,
        tags=facts.tags if tags is None else frozenset(tags),
        metadata=facts.metadata if metadata is None else metadata,
    )
