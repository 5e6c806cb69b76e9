"""A control plane's bundle as it is kept and as it counts: pure.

It is kept whole, as one row among the policies, under a name that no policy can have. So it is
authenticated as they are, and its absence is noticed as theirs is.
"""

from base64 import b64decode, b64encode
from typing import Any, Final

import msgspec
from msgspec import Struct

from protocols.link.bundle import NO_BUNDLE, Accepted, Stored
from vault.authz.policy import Policy, validate
from vault.errors import UnavailableError, ValidationError


class Fleet(Struct, frozen=True, kw_only=True):
    """What the accepted bundle amounts to; version 0 before the first. Times: Unix ms."""

    org: str = ""
    vault: str = ""
    version: int = 0
    hash: bytes = NO_BUNDLE
    expires: int = 0
    policies: tuple[Policy, ...] = ()

    def stored(self, org: str, vault: str) -> Stored:
        """Where this agent stands; another agent's bundle counts for nothing to it."""
        if (self.org, self.vault) != (org, vault):
            return Stored()
        return Stored(self.version, self.hash)


NO_FLEET: Final = Fleet()


class _Kept(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    org: str
    vault: str
    version: int
    hash: str
    expires: int
    rules: list[str]


def read(org: str, vault: str, accepted: Accepted) -> Fleet:
    """The bundle of this agent with its documents validated. Raises `ValidationError`."""
    bundle = accepted.bundle
    return Fleet(
        org=org,
        vault=vault,
        version=bundle.version,
        hash=accepted.hash,
        expires=bundle.expires,
        policies=_policies([rule.decode("utf-8", "replace") for rule in bundle.rules]),
    )


def keep(fleet: Fleet) -> dict[str, Any]:
    """The row's document."""
    kept = _Kept(
        org=fleet.org,
        vault=fleet.vault,
        version=fleet.version,
        hash=b64encode(fleet.hash).decode(),
        expires=fleet.expires,
        rules=[msgspec.json.encode(policy).decode() for policy in fleet.policies],
    )
    plain: dict[str, Any] = msgspec.to_builtins(kept)
    return plain


def recall(document: object) -> Fleet:
    """The inverse of `keep`. Raises `UnavailableError` (`policy_unreadable`)."""
    try:
        kept = msgspec.convert(document, _Kept)
        return Fleet(
            org=kept.org,
            vault=kept.vault,
            version=kept.version,
            hash=b64decode(kept.hash, validate=True),
            expires=kept.expires,
            policies=_policies(kept.rules),
        )
    except (msgspec.ValidationError, ValueError, ValidationError):
        # Going on without it could drop a denial: better no data path than a wider one.
        raise UnavailableError(
            "policy_unreadable", "the stored bundle of the control plane is not understood"
        ) from None


def _policies(rules: list[str]) -> tuple[Policy, ...]:
    try:
        found = tuple(validate(msgspec.json.decode(rule)) for rule in rules)
    except (msgspec.DecodeError, RecursionError):
        raise ValidationError("policy_invalid", "a rule of the bundle is not JSON") from None
    if len({policy.name for policy in found}) != len(found):
        raise ValidationError("policy_invalid", "two policies of the bundle have one name")
    return found
