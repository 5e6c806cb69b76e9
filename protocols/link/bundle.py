r"""Policy bundles: what a control plane may hand to its agents, signed by the policy key.

`signature (64) ‖ bundle`, the bundle canonical msgpack (`protocols.link.codec`). The policy key
is neither the TLS key nor the link key and may live offline: whoever owns the control plane cannot
write policies with it. Each version names the hash of the one before, so history cannot branch
unseen. What is signed is `freehold-policy-v1\0 ‖ bundle`.

The rules are the agent's own policy documents (reference/policies.md), which the agent checks as it
checks anybody's, and then meets with its local ceiling; here they are opaque.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, NoReturn, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Meta, Struct

from protocols.link import codec
from protocols.link.errors import Fault, LinkError, LocalFaultError, RemoteFaultError
from protocols.link.fields import (
    HASH_SIZE,
    SIGNATURE_SIZE,
    SLUG_PATTERN,
    Hash,
    Millis,
    Ordinal,
    Rules,
    Slug,
)
from protocols.link.limits import MAX_BUNDLE, MAX_FIRST_VERSION, MAX_VERSION_STEP
from protocols.link.signing import sha256, verify_any
from protocols.link.vocabulary import PolicyReason

DOMAIN: Final = b"freehold-policy-v1\0"
EVERY_VAULT: Final = "*"
ZERO_HASH: Final = bytes(HASH_SIZE)
"""The `prev_hash` of version 1."""


Target = Annotated[str, Meta(pattern=rf"\A\*\Z|{SLUG_PATTERN}", max_length=64)]


class Bundle(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Policies for one vault of an organization, or for `*`, all of them."""

    org: Slug
    vault: Target
    version: Ordinal
    prev_hash: Hash
    not_before: Millis
    expires: Millis
    """From this moment on the bundle is no longer accepted; one in force stays in force."""
    rules: Rules


@dataclass(frozen=True, slots=True)
class AcceptedVersion:
    """The bundle that an agent has accepted last; version 0 and `ZERO_HASH` before the first."""

    version: int = 0
    hash: bytes = ZERO_HASH


@dataclass(frozen=True, slots=True)
class VerifiedBundle:
    """A bundle that may replace the stored one. `hash` is what the next one's `prev_hash` is."""

    bundle: Bundle
    hash: bytes


class BundleError(LinkError):
    """The bundle is refused; `reason` goes into `PolicyStatus`."""

    def __init__(self, reason: PolicyReason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


class PolicySigner(Protocol):
    """What signs bundles; a `PolicyKey`, or something that keeps the key elsewhere."""

    def sign(self, bundle: bytes) -> bytes:
        """64 bytes over these exact bytes, in the domain of policies."""
        ...


class PolicyKey:
    """The Ed25519 key that bundles are signed with. Its bytes do not show, copy or pickle."""

    __slots__ = ("_key", "public")

    public: bytes
    """The raw 32-byte public key, which agents hold since their enrolment."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    def sign(self, bundle: bytes) -> bytes:
        """See `PolicySigner`."""
        return self._key.sign(DOMAIN + bundle)

    def __repr__(self) -> str:
        return f"PolicyKey(public={self.public.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not copied or pickled")


def hash_of(bundle: bytes) -> bytes:
    """SHA-256 of the bundle's bytes, without the signature."""
    return sha256(bundle)


def sign_bundle(bundle: Bundle, signer: PolicySigner) -> bytes:
    """The signed bundle for `PolicyUpdate`. Raises `LocalFaultError` if no agent would take it."""
    data = codec.encode_struct(bundle)
    if len(data) > MAX_BUNDLE:
        raise LocalFaultError(f"a bundle has at most {MAX_BUNDLE} bytes; split the policies")
    try:
        codec.decode_struct(data, Bundle)
    except RemoteFaultError as error:
        raise LocalFaultError(error.message) from None
    if bundle.not_before >= bundle.expires:
        raise LocalFaultError("a bundle expires after it begins")
    return signer.sign(data) + data


def open_bundle(
    signed: bytes,
    keys: Sequence[bytes],
    *,
    org: str,
    vault: str,
    stored: AcceptedVersion,
    now_ms: int,
) -> VerifiedBundle:
    """The bundle, if this agent may take it now. Raises `BundleError` by the first check it fails.

    In this order: `size`, `signature`, `malformed`, `not_canonical`, `wrong_org`, `wrong_vault`,
    `equivocation`, `older`, `broken_chain`, `not_yet_valid`, `expired`. The stored bundle itself
    is `older`: nothing to do.
    """
    if not SIGNATURE_SIZE < len(signed) <= SIGNATURE_SIZE + MAX_BUNDLE:
        raise BundleError(PolicyReason.SIZE, f"a bundle has at most {MAX_BUNDLE} bytes")
    signature, data = signed[:SIGNATURE_SIZE], signed[SIGNATURE_SIZE:]
    publics = [Ed25519PublicKey.from_public_bytes(key) for key in keys]
    if not verify_any(publics, DOMAIN + data, signature):
        raise BundleError(PolicyReason.SIGNATURE, "no policy key of ours has signed this")
    bundle, digest = _decode(data), hash_of(data)
    if bundle.org != org:
        raise BundleError(PolicyReason.WRONG_ORG, "the bundle is of another organization")
    if bundle.vault not in (vault, EVERY_VAULT):
        raise BundleError(PolicyReason.WRONG_VAULT, "the bundle is for another vault")
    _check_place(bundle, digest, stored)
    if now_ms < bundle.not_before:
        raise BundleError(PolicyReason.NOT_YET_VALID, "the bundle begins later")
    if now_ms >= bundle.expires:
        raise BundleError(PolicyReason.EXPIRED, "the bundle has expired")
    return VerifiedBundle(bundle, digest)


def _decode(data: bytes) -> Bundle:
    try:
        return codec.decode_struct(data, Bundle)
    except RemoteFaultError as error:
        canonical = error.fault is Fault.NOT_CANONICAL
        reason = PolicyReason.NOT_CANONICAL if canonical else PolicyReason.MALFORMED
        raise BundleError(reason, error.message) from None


def _check_place(bundle: Bundle, digest: bytes, stored: AcceptedVersion) -> None:
    """Versions only go up, and the next one must name the stored one as its predecessor.

    Versions may be left out, because a newer bundle supersedes those before it, but not so many
    that none are left. Two different bundles of one version mean that the policy key signs two
    histories: `equivocation`.
    """
    if bundle.version == stored.version and digest != stored.hash:  # not secret: public hashes
        raise BundleError(PolicyReason.EQUIVOCATION, "another bundle of the stored version")
    if bundle.version <= stored.version:
        raise BundleError(PolicyReason.OLDER, "the bundle is not newer than the stored one")
    follows = bundle.prev_hash == stored.hash  # not secret: public hashes
    if bundle.version == stored.version + 1 and not follows:
        raise BundleError(PolicyReason.BROKEN_CHAIN, "the bundle does not follow the stored one")
    most = stored.version + MAX_VERSION_STEP if stored.version else MAX_FIRST_VERSION
    if bundle.version > most:
        raise BundleError(
            PolicyReason.BROKEN_CHAIN,
            f"version {bundle.version} is too far above the stored one ({stored.version}): at most "
            f"{most}; if that is right, run 'freehold agent link policy reset'",
        )
