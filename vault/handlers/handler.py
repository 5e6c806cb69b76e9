"""What the pipeline knows of a handler: which capability it takes, whether it changes anything."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct

from vault.errors import ValidationError
from vault.model.identity import Identity
from vault.model.name import canonical_name
from vault.model.operation import NO_FACTS, Capability, Facts, Operation, answers_full


class Call(Struct, frozen=True):
    """One authorized operation on its way into a handler.

    `decisive`: tags and metadata may have decided, so they must still be `facts` when it happens.
    """

    op: Operation
    identity: Identity
    facts: Facts = NO_FACTS
    decisive: bool = False

    @property
    def payload(self) -> Any:
        """The operation's parameters; each handler knows their type by the operation's name."""
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


def create_or_update(facts: Facts) -> Capability:
    """The capability of an upsert: `create` where nothing is, `update` where something is."""
    return Capability.UPDATE if facts.exists else Capability.CREATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """An entry of the operation table.

    `capability` None: any authenticated caller (the handler itself limits what he sees).
    `mutates`: an intent record is durable before `run` is called.
    `on_secret`: the path names a secret, so its facts are looked up for create-or-update and for
    conditions on tags and metadata.
    `proposes`: the facts as the operation would leave them, which must be allowed too.
    `recorded` False: it reads and changes nothing that is stored and tells of the caller's own
    words alone, so that neither its answer nor a fault in those words is a record. Refusals are.
    `of_self`: anybody may, with what is his own, and no secret is told: it has a pace for each
    line of credentials (`limits.self_service`). `shows`: says of a result whether it shows anything
    that not everybody is shown; one that shows nothing has that pace.
    `refuses`: it does nothing but put a refusal on record.
    `closes`: it only takes away. Where what is stored cannot be read, what was in force decides.
    `by_share`: no credential is asked for, since the handler asks for shares of the root key.
    `anonymous`: none is looked at; the caller is anonymous and held to the pace of those who fail.
    `request`/`response`: what of the payload and of the result the audit record shows (hashed).
    """

    run: Callable[[Call], Awaitable[object]]
    capability: Capability | Callable[[Facts], Capability] | None
    mutates: bool = False
    recorded: bool = True
    of_self: bool = False
    shows: Callable[[Any], bool] | None = None
    refuses: bool = False
    closes: bool = False
    by_share: bool = False
    anonymous: bool = False
    on_secret: bool = False
    proposes: Callable[[Any, Facts], Facts] | None = None
    request: Callable[[Any], object] | None = None
    response: Callable[[Any], object] | None = None


Handlers = dict[str, Handler]


def retagged(facts: Facts, tags: list[str] | None, metadata: dict[str, str] | None) -> Facts:
    """The facts with what a write replaces; None keeps what is there."""
    return Facts(
        exists=facts.exists,
        tags=facts.tags if tags is None else frozenset(tags),
        metadata=facts.metadata if metadata is None else metadata,
    )
