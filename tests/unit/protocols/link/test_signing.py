"""Signatures over exact bytes, for one direction."""

import copy
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocols.link.messages import Direction
from protocols.link.signing import DOMAIN, LinkKey, Verifier, sha256
from tests.unit.protocols.link.duet import AGENT_KEY, CONTROL_KEY

UP, DOWN = Direction.TO_CONTROL, Direction.TO_AGENT


def test_the_signature_is_plain_ed25519_over_domain_direction_and_bytes():
    """Another implementation needs nothing but RFC 8032 and the prefix."""
    key = Ed25519PrivateKey.from_private_bytes(b"a" * 32)
    assert AGENT_KEY.sign(UP, b"x") == key.sign(DOMAIN + b"\x01" + b"x")
    assert AGENT_KEY.sign(DOWN, b"x") == key.sign(DOMAIN + b"\x02" + b"x")


def test_only_the_signed_bytes_verify():
    """Another message, direction, key or length of signature is refused, and none raises."""
    signature = AGENT_KEY.sign(UP, b"x")
    ours = Verifier([AGENT_KEY.public])
    assert ours.verify(UP, b"x", signature)
    assert not ours.verify(UP, b"y", signature)
    assert not ours.verify(DOWN, b"x", signature)
    assert not ours.verify(UP, b"x", signature[:-1])
    assert not ours.verify(UP, b"x", b"")
    assert not Verifier([CONTROL_KEY.public]).verify(UP, b"x", signature)


def test_any_of_the_peers_keys_may_sign():
    """While a peer changes its key, both count."""
    both = Verifier([CONTROL_KEY.public, AGENT_KEY.public])
    assert both.verify(UP, b"x", AGENT_KEY.sign(UP, b"x"))
    assert both.verify(UP, b"x", CONTROL_KEY.sign(UP, b"x"))


@pytest.mark.parametrize("keys", [[], [b"a" * 31], [AGENT_KEY.public] * 5])
def test_a_peer_without_proper_keys_is_no_peer(keys: list[bytes]):
    """No key at all must not mean that anything goes."""
    with pytest.raises(ValueError, match="key"):
        Verifier(keys)


def test_a_key_does_not_show_or_leave():
    """Neither its text nor a copy gives the seed away."""
    assert repr(AGENT_KEY) == f"LinkKey(public={AGENT_KEY.public.hex()})"
    for leave in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="keys are not"):
            leave(LinkKey.from_seed(b"s" * 32))


def test_the_hash_is_sha256():
    """FIPS 180-4's example."""
    assert sha256(b"abc").hex().startswith("ba7816bf8f01cfea414140de5dae2223")
