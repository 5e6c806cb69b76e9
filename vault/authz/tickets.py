"""Denial tickets: a refusal that an administrator can look into, and its holder cannot.

A ticket is what was asked, by whom, sealed by the vault. It is opaque text: it says neither which
rule refused nor whether anything is there. It proves nothing and allows nothing.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Final

from msgspec import DecodeError, Struct, msgpack

from vault.authz.access import AccessRequest, Decision
from vault.errors import ValidationError
from vault.model.identity import Identity, Method, Permission
from vault.model.operation import Capability, Origin
from vault.model.path import ResourcePath

TICKET: Final = "ticket"  # among the details of the error
PREFIX: Final = "fdt_"
MAX_TICKET: Final = 8_192  # characters


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
    ceiling: tuple[str, ...] = ()  # older tickets have none of these
    mfa_at: int = 0

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
        )
        is_folder = self.path.endswith("/")
        parse = ResourcePath.parse_folder if is_folder else ResourcePath.parse
        return AccessRequest(
            capability=Capability(self.capability),
            path=parse(self.path),
            identity=identity,
            origin=Origin(ip=self.ip),
            now=now,
        )


class ExplainedDenial(Struct, frozen=True, kw_only=True):
    """A refusal, and the decision on the same question now."""

    denied: DeniedAccess
    decision: Decision


_encode: Final = msgpack.Encoder().encode
_decode: Final = msgpack.Decoder(DeniedAccess).decode


class DenialTickets:
    """Of one open vault."""

    def __init__(self, seal: Callable[[bytes], bytes], open_: Callable[[bytes], bytes]) -> None:
        """`open_` raises `ValidationError` for what `seal` has not made."""
        self._seal = seal
        self._open = open_

    def issue(self, access: AccessRequest, request_id: str) -> str:
        """The ticket of a refusal."""
        identity = access.identity
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


def _invalid() -> ValidationError:
    return ValidationError("ticket_invalid", "this is no ticket of this vault", field="ticket")
