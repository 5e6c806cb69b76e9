"""Denial tickets: a refusal that an administrator can look into, and its holder cannot.

A ticket is what was asked, by whom, sealed by the vault. It is opaque text: it says neither which
rule refused nor whether anything is there, by its length neither. It allows nothing by itself.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Final

from msgspec import DecodeError, Struct, msgpack

from vault.authz.access import AccessRequest, Decision
from vault.errors import ValidationError
from vault.model.acl.access import AclCapability, ApiAccess
from vault.model.identity import Identity, Method, Permission
from vault.model.operation import NO_FACTS, Capability, Origin, SecretFacts
from vault.model.path import ResourcePath

TICKET: Final = "ticket"  # among the details of the error
PREFIX: Final = "fdt_"
MAX_TICKET: Final = 8_192  # characters
FACTS_BYTES: Final = 1_024
"""Bytes of a secret's facts in a ticket, always: a length would tell what is there."""
MAX_ENTITY_BYTES: Final = 2_048  # of what identity templates stand for


class DeniedApi(Struct, frozen=True, array_like=True):
    """The request of the Vault-compatible API, without its fields."""

    path: str
    operation: str
    needs_sudo: bool
    wrapping_ttl: int

    def as_access(self) -> ApiAccess:
        """The request as policies decide on it, without its fields."""
        return ApiAccess(
            path=self.path,
            operation=AclCapability(self.operation),
            needs_sudo=self.needs_sudo,
            parameters=dict,
            wrapping_ttl=self.wrapping_ttl,
        )


class _Facts(Struct, frozen=True, array_like=True):
    exists: bool
    tags: tuple[str, ...]
    metadata: dict[str, str]

    def as_facts(self) -> SecretFacts:
        return SecretFacts(exists=self.exists, tags=frozenset(self.tags), metadata=self.metadata)


class DeniedAccess(Struct, frozen=True, kw_only=True, array_like=True):
    """What was refused. `at` in Unix ns. Policies are those that counted then."""

    request_id: str
    at: int
    actor_id: str
    actor_name: str
    method: str
    credential: str
    policies: tuple[str, ...]
    denied_by: tuple[str, ...]
    permissions: tuple[Permission, ...]
    capability: str
    path: str
    ip: str
    mfa: bool
    ceiling: tuple[str, ...] = ()  # older tickets have none of what follows
    entity: tuple[tuple[str, str], ...] | None = None
    facts: bytes = b""
    api: DeniedApi | None = None
    mount: str = ""
    line: str = ""
    mfa_at: int = 0

    @property
    def secret_facts(self) -> SecretFacts | None:
        """The facts of the secret then; None: they did not count, or were too large to keep."""
        if not self.facts:
            return None
        found = _decode_facts(self.facts[_SIZE : _SIZE + int.from_bytes(self.facts[:_SIZE])])
        return None if found is None else found.as_facts()

    def as_access(self, now: int) -> AccessRequest:
        """The same question, asked at `now`."""
        identity = Identity(
            id=self.actor_id,
            name=self.actor_name,
            method=Method(self.method),
            policies=self.policies,
            permissions=self.permissions,
            denied_by=self.denied_by,
            ceiling=self.ceiling,
            credential=self.credential,
            mfa_at=self.mfa_at,
            entity=self.entity or (),
            mount=self.mount,
            line=self.line,
        )
        is_folder = self.path.endswith("/")
        parse = ResourcePath.parse_folder if is_folder else ResourcePath.parse
        return AccessRequest(
            capability=Capability(self.capability),
            path=parse(self.path),
            identity=identity,
            origin=Origin(ip=self.ip),
            facts=self.secret_facts or NO_FACTS,
            now=now,
            api=None if self.api is None else self.api.as_access(),
        )


class ExplainedDenial(Struct, frozen=True, kw_only=True):
    """A refusal, the decision on the same question now, and on what it was about then.

    `exact`: the ticket has all that `then` depends on. The policies are those of now in both.
    """

    denied: DeniedAccess
    decision: Decision
    then: Decision
    exact: bool = True


_encode: Final = msgpack.Encoder().encode
_decode: Final = msgpack.Decoder(DeniedAccess).decode
_decode_facts: Final = msgpack.Decoder(_Facts | None).decode
_SIZE: Final = 2  # bytes that say how many of the facts count


class DenialTickets:
    """Of one open vault."""

    def __init__(self, seal: Callable[[bytes], bytes], open_: Callable[[bytes], bytes]) -> None:
        """`open_` raises `ValidationError` for what `seal` has not made."""
        self._seal = seal
        self._open = open_

    def issue(self, access: AccessRequest, request_id: str, *, with_facts: bool = False) -> str:
        """The ticket of a refusal. `with_facts`: those of the secret may have decided."""
        identity, api = access.identity, access.api
        entity = identity.entity if len(_encode(identity.entity)) <= MAX_ENTITY_BYTES else None
        denied = DeniedAccess(
            request_id=request_id,
            at=access.now,
            actor_id=identity.id,
            actor_name=identity.name,
            method=identity.method,
            credential=identity.credential,
            policies=identity.policies,
            denied_by=identity.denied_by,
            ceiling=identity.ceiling,
            permissions=identity.permissions,
            capability=access.capability,
            path=str(access.path),
            ip=access.origin.ip,
            mfa=identity.mfa,
            mfa_at=identity.mfa_at,
            entity=entity,
            facts=_pack_facts(access.facts) if with_facts else b"",
            api=None
            if api is None
            else DeniedApi(api.path, api.operation, api.needs_sudo, api.wrapping_ttl),
            mount=identity.mount,
            line=identity.line,
        )
        content = _encode(denied)
        return PREFIX + urlsafe_b64encode(self._seal(content)).decode().rstrip("=")

    def read(self, ticket: str) -> DeniedAccess:
        """What was refused. Raises `ValidationError` (`ticket_invalid`)."""
        text = ticket.strip().removeprefix(PREFIX)
        if len(text) > MAX_TICKET:
            raise _invalid()
        try:
            sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            return _decode(self._open(sealed))
        except (binascii.Error, ValueError, DecodeError):
            raise _invalid() from None


def _pack_facts(facts: SecretFacts) -> bytes:
    """The facts, or that they are too large, in as many bytes for any."""
    plain = _encode(_Facts(facts.exists, tuple(sorted(facts.tags)), dict(facts.metadata)))
    if len(plain) > FACTS_BYTES - _SIZE:
        plain = _encode(None)
    return (len(plain).to_bytes(_SIZE) + plain).ljust(FACTS_BYTES, b"\0")


def _invalid() -> ValidationError:
    return ValidationError("ticket_invalid", "this is no ticket of this vault", field="ticket")
