"""Policy bundles: only the policy key's, only for us, only newer, only now."""

import copy
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocols.link import codec
from protocols.link.bundle import (
    DOMAIN,
    ZERO_HASH,
    AcceptedVersion,
    Bundle,
    BundleError,
    PolicyKey,
    hash_of,
    open_bundle,
    sign_bundle,
)
from protocols.link.errors import LocalFaultError
from protocols.link.limits import MAX_BUNDLE
from protocols.link.signing import LinkKey
from tests.unit.protocols.link.duet import WALL

NOTHING = AcceptedVersion()
KEY = PolicyKey(Ed25519PrivateKey.from_private_bytes(b"p" * 32))
FIRST = Bundle(
    org="acme",
    vault="prod",
    version=1,
    prev_hash=ZERO_HASH,
    not_before=WALL,
    expires=WALL + 1000,
    rules=(b'{"name":"readers"}',),
)
HASH = hash_of(codec.encode_struct(FIRST))


def opened(bundle: Bundle | bytes, stored: AcceptedVersion = NOTHING, now: int = WALL) -> Any:
    """The bundle as the agent acme/prod takes it."""
    signed = bundle if isinstance(bundle, bytes) else sign_bundle(bundle, KEY)
    return open_bundle(signed, [KEY.public], org="acme", vault="prod", stored=stored, now_ms=now)


def refusal(bundle: Bundle | bytes, stored: AcceptedVersion = NOTHING, now: int = WALL) -> str:
    """Why it does not."""
    with pytest.raises(BundleError) as caught:
        opened(bundle, stored, now)
    return caught.value.reason


def changed(**changes: Any) -> Bundle:
    """FIRST with these changes."""
    return msgspec.structs.replace(FIRST, **changes)


def test_a_bundle_opens_to_what_was_signed():
    """And its hash is what the next one must name."""
    accepted = opened(FIRST)
    assert accepted.bundle == FIRST
    second = changed(version=2, prev_hash=accepted.hash)
    assert opened(second, AcceptedVersion(1, accepted.hash)).bundle == second


def test_a_bundle_for_every_vault_is_for_ours():
    """`*` is all vaults of the organization."""
    assert opened(changed(vault="*")).bundle.vault == "*"


@pytest.mark.parametrize(
    ("changes", "stored", "now", "reason"),
    [
        ({"org": "other"}, AcceptedVersion(), WALL, "wrong_org"),
        ({"vault": "test"}, AcceptedVersion(), WALL, "wrong_vault"),
        ({}, AcceptedVersion(1, HASH), WALL, "older"),
        ({}, AcceptedVersion(2, bytes(32)), WALL, "older"),
        ({}, AcceptedVersion(1, bytes(32)), WALL, "equivocation"),
        ({"version": 2}, AcceptedVersion(1, HASH), WALL, "broken_chain"),
        ({"prev_hash": b"x" * 32}, AcceptedVersion(), WALL, "broken_chain"),
        ({}, AcceptedVersion(), WALL - 1, "not_yet_valid"),
        ({}, AcceptedVersion(), WALL + 1000, "expired"),
        ({"org": "other", "vault": "test"}, AcceptedVersion(9), WALL + 9999, "wrong_org"),
    ],
)
def test_a_bundle_out_of_place_is_refused(
    changes: dict[str, Any], stored: AcceptedVersion, now: int, reason: str
):
    """Not ours, not newer, not the successor, not now: by name, in a fixed order."""
    assert refusal(changed(**changes), stored, now) == reason


def test_versions_may_be_left_out():
    """A newer bundle supersedes those that never came; their hashes cannot be checked."""
    assert (
        opened(changed(version=7, prev_hash=b"x" * 32), AcceptedVersion(1, HASH)).bundle.version
        == 7
    )


@pytest.mark.parametrize(
    ("stored", "taken", "refused"),
    [
        (0, [1, 2**32, 2**53], [2**53 + 1, 2**62, 2**63 - 1]),
        (1, [3, 1_000_001], [1_000_002, 2**53, 2**63 - 1]),
        (2**53, [2**53 + 1_000_000], [2**53 + 1_000_001, 2**63 - 1]),
        (2**63 - 2, [], [0, 1]),
    ],
)
def test_no_bundle_takes_so_many_versions_that_none_are_left(
    stored: int, taken: list[int], refused: list[int]
):
    """Whoever holds the policy key for an hour must not keep later ones out for good."""
    there = AcceptedVersion(stored, HASH if stored else ZERO_HASH)
    for version in taken:
        assert opened(changed(version=version), there).bundle.version == version
    for version in refused:
        data = codec.encode_struct(changed(version=version))
        assert refusal(KEY.sign(data) + data, there) in {"broken_chain", "older", "malformed"}


def test_only_the_policy_key_counts():
    """Not the link's key, not another domain, not another byte."""
    data = codec.encode_struct(FIRST)
    link = LinkKey.from_seed(b"p" * 32)  # the very same seed, in the link's domain
    assert refusal(link._key.sign(b"freehold-link-v1\0\x02" + data) + data) == "signature"
    assert refusal(link._key.sign(data) + data) == "signature"
    other = PolicyKey(Ed25519PrivateKey.from_private_bytes(b"q" * 32))
    assert refusal(sign_bundle(FIRST, other)) == "signature"
    assert opened(link._key.sign(DOMAIN + data) + data).hash == HASH


def test_without_keys_nothing_counts():
    """An agent that holds no policy key takes no bundle."""
    with pytest.raises(BundleError, match="signature"):
        open_bundle(
            sign_bundle(FIRST, KEY),
            [],
            org="acme",
            vault="prod",
            stored=AcceptedVersion(),
            now_ms=WALL,
        )


@given(st.integers(0, 8 * len(sign_bundle(FIRST, KEY)) - 1))
def test_no_bit_of_a_bundle_can_be_turned(bit: int):
    """Every bit is signed, or is the signature."""
    signed = bytearray(sign_bundle(FIRST, KEY))
    signed[bit // 8] ^= 1 << bit % 8
    assert refusal(bytes(signed)) == "signature"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x80", "malformed"),
        (codec.encode_struct(FIRST) + b"\0", "malformed"),
        (b"\xde\x00\x07" + codec.encode_struct(FIRST)[1:], "not_canonical"),
        (codec.encode_struct(changed(vault="**")), "malformed"),
        (codec.encode_struct(changed(vault="prod\n")), "malformed"),
        (codec.encode_struct(changed(rules=(b"{}",) * 501)), "malformed"),
    ],
)
def test_a_signed_bundle_can_still_be_wrong(data: bytes, reason: str):
    """The policy key's holder makes mistakes, too."""
    assert refusal(KEY.sign(data) + data) == reason


@pytest.mark.parametrize("size", [0, 64, 64 + MAX_BUNDLE + 1])
def test_a_bundle_of_another_size_is_not_even_verified(size: int):
    """The size comes first."""
    assert refusal(bytes(size)) == "size"


@pytest.mark.parametrize(
    "bundle",
    [
        changed(version=0),
        changed(vault="Prod"),
        changed(expires=WALL),
        changed(rules=(bytes(MAX_BUNDLE),)),
    ],
)
def test_what_no_agent_would_take_is_not_signed(bundle: Bundle):
    """A mistake shows where it is made."""
    with pytest.raises(LocalFaultError):
        sign_bundle(bundle, KEY)


def test_the_policy_key_does_not_show_or_leave():
    """Its text is its public half, and it is not copied."""
    assert repr(KEY) == f"PolicyKey(public={KEY.public.hex()})"
    with pytest.raises(TypeError, match="not copied"):
        copy.copy(KEY)
