"""A control plane's bundle as it is kept and as it counts: pure.

It is kept whole, as one row among the policies, under a name that no policy can have. So it is
authenticated as they are, and its absence is noticed as theirs is.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from protocols import json_text
from protocols.link.bundle import ZERO_HASH, AcceptedVersion, VerifiedBundle
from vault.authz.policy import Policy, validate_policy
from vault.errors import UnavailableError, ValidationError
from vault.model.link_ports import PolicyTrust


class PolicyBundle(Struct, frozen=True, kw_only=True):
    """What the accepted bundle amounts to; version 0 before the first. Times: Unix ms.

    `key` and `authority` are the policy key that signed it and the control plane's authority at
    the enrolment; empty in a row of before they were noted.
    """

    org: str = ""
    vault: str = ""
    key: bytes = b""
    authority: str = ""
    version: int = 0
    hash: bytes = ZERO_HASH
    expires: int = 0
    policies: tuple[Policy, ...] = ()

    def is_from(self, trust: PolicyTrust) -> bool:
        """Whether it came by this enrolment: same names, policy key and authority.

        What was not noted at the time is taken to be the same.
        """
        if (self.org, self.vault) != (trust.org, trust.vault):
            return False
        known = self.key in {b"", trust.key}  # not secret: public keys
        noted = self.authority and trust.authority
        return known and (not noted or self.authority == trust.authority)

    def stored_for(self, trust: PolicyTrust) -> AcceptedVersion:
        """Where this enrolment stands; another one's bundle counts for nothing to it."""
        return (
            AcceptedVersion(self.version, self.hash) if self.is_from(trust) else AcceptedVersion()
        )


NO_POLICY_BUNDLE: Final = PolicyBundle()


class _StoredBundle(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    org: str
    vault: str
    key: str = ""
    authority: str = ""
    version: int
    hash: str
    expires: int
    rules: list[str]


def parse_bundle(trust: PolicyTrust, accepted: VerifiedBundle) -> PolicyBundle:
    """The bundle of this agent with its documents validated. Raises `ValidationError`."""
    bundle = accepted.bundle
    return PolicyBundle(
        org=trust.org,
        vault=trust.vault,
        key=trust.key,
        authority=trust.authority,
        version=bundle.version,
        hash=accepted.hash,
        expires=bundle.expires,
        policies=_policies(bundle.rules),
    )


def bundle_document(bundle: PolicyBundle) -> dict[str, Any]:
    """The row's document."""
    kept = _StoredBundle(
        org=bundle.org,
        vault=bundle.vault,
        key=b64encode(bundle.key).decode(),
        authority=bundle.authority,
        version=bundle.version,
        hash=b64encode(bundle.hash).decode(),
        expires=bundle.expires,
        rules=[msgspec.json.encode(policy).decode() for policy in bundle.policies],
    )
    plain: dict[str, Any] = msgspec.to_builtins(kept)
    return plain


def load_bundle(document: object) -> PolicyBundle:
    """The inverse of `bundle_document`. Raises `UnavailableError` (`policy_unreadable`)."""
    try:
        kept = msgspec.convert(document, _StoredBundle)
        return PolicyBundle(
            org=kept.org,
            vault=kept.vault,
            key=b64decode(kept.key, validate=True),
            authority=kept.authority,
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


def _policies(rules: Iterable[str | bytes]) -> tuple[Policy, ...]:
    try:
        found = tuple(validate_policy(json_text.decode(rule)) for rule in rules)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValidationError("policy_invalid", "a rule of the bundle is not JSON") from None
    if any(policy.acl for policy in found):  # the ceiling is of capabilities, and holds for rules
        raise ValidationError("policy_invalid", "a policy of the bundle is in Vault's language")
    if len({policy.name for policy in found}) != len(found):
        raise ValidationError("policy_invalid", "two policies of the bundle have one name")
    return found
