import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.pki.certificates import to_der
from protocols.pki.errors import CsrError
from protocols.pki.issuance import issue_agent
from protocols.pki.keys import KeyKind, new_curve_key, new_signing_key
from protocols.pki.names import AgentName
from protocols.pki.proof import (
    sign_binding,
    sign_possession,
    sign_rejoin,
    verify_binding,
    verify_possession,
    verify_rejoin,
)
from tests.unit.protocols.pki.samples import NOW, make_pki

KEY = new_signing_key()
PUBLIC = KEY.public_key().public_bytes_raw()
NAME = AgentName.from_slugs("acme", "prod")


def test_each_proof_is_for_what_it_says() -> None:
    """Another key, request, name, serial or purpose, and it is none."""
    other = new_signing_key().public_key().public_bytes_raw()
    bound, back = sign_binding(KEY, b"csr"), sign_rejoin(KEY, NAME, "1" * 40, b"csr")
    verify_binding(PUBLIC, b"csr", bound)
    verify_rejoin(PUBLIC, NAME, "1" * 40, b"csr", back)
    for wrong in (
        lambda: verify_binding(other, b"csr", bound),
        lambda: verify_binding(PUBLIC, b"csx", bound),
        lambda: verify_binding(PUBLIC, b"csr", back),
        lambda: verify_rejoin(PUBLIC, NAME, "1" * 40, b"csr", bound),
        lambda: verify_rejoin(PUBLIC, NAME, "2" * 40, b"csr", back),
        lambda: verify_rejoin(PUBLIC, AgentName.from_slugs("acme", "dev"), "1" * 40, b"csr", back),
        lambda: verify_rejoin(PUBLIC, AgentName.from_slugs("acm", "eprod"), "1" * 40, b"csr", back),
    ):
        with pytest.raises(CsrError):
            wrong()


def test_the_certificates_own_proof() -> None:
    """By its key alone, for what it says; a proof of the link key is none."""
    pki = make_pki("proof")
    key, other = new_curve_key(KeyKind.LEAF), new_curve_key(KeyKind.LEAF)
    leaf = to_der(issue_agent(pki.authority, NAME, key.public_key(), NOW))
    proof = sign_possession(key, NAME, "1" * 40, b"csr")
    verify_possession(leaf, NAME, "1" * 40, b"csr", proof)
    for wrong in (
        lambda: verify_possession(leaf, NAME, "1" * 40, b"csx", proof),
        lambda: verify_possession(leaf, NAME, "2" * 40, b"csr", proof),
        lambda: verify_possession(
            leaf, AgentName.from_slugs("acme", "dev"), "1" * 40, b"csr", proof
        ),
        lambda: verify_possession(
            leaf, NAME, "1" * 40, b"csr", sign_possession(other, NAME, "1" * 40, b"csr")
        ),
        lambda: verify_possession(
            leaf, NAME, "1" * 40, b"csr", sign_rejoin(KEY, NAME, "1" * 40, b"csr")
        ),
        lambda: verify_possession(leaf, NAME, "1" * 40, b"csr", b"garbage"),
    ):
        with pytest.raises(CsrError):
            wrong()


@given(st.binary(max_size=40), st.binary(max_size=80))
def test_garbage_is_a_typed_error(key: bytes, proof: bytes) -> None:
    """Also keys and signatures of the wrong size."""
    with pytest.raises(CsrError):
        verify_binding(key, b"csr", proof)
