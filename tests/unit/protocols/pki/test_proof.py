import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.pki.certificates import der
from protocols.pki.errors import RequestError
from protocols.pki.issuing import issue_agent
from protocols.pki.keys import KeyKind, new_curve_key, new_signing_key
from protocols.pki.names import AgentName
from protocols.pki.proof import bind, check_bind, check_held, check_rejoin, held, rejoin
from tests.unit.protocols.pki.samples import NOW, make_pki

KEY = new_signing_key()
PUBLIC = KEY.public_key().public_bytes_raw()
NAME = AgentName.of("acme", "prod")


def test_each_proof_is_for_what_it_says() -> None:
    """Another key, request, name, serial or purpose, and it is none."""
    other = new_signing_key().public_key().public_bytes_raw()
    bound, back = bind(KEY, b"csr"), rejoin(KEY, NAME, "1" * 40, b"csr")
    check_bind(PUBLIC, b"csr", bound)
    check_rejoin(PUBLIC, NAME, "1" * 40, b"csr", back)
    for wrong in (
        lambda: check_bind(other, b"csr", bound),
        lambda: check_bind(PUBLIC, b"csx", bound),
        lambda: check_bind(PUBLIC, b"csr", back),
        lambda: check_rejoin(PUBLIC, NAME, "1" * 40, b"csr", bound),
        lambda: check_rejoin(PUBLIC, NAME, "2" * 40, b"csr", back),
        lambda: check_rejoin(PUBLIC, AgentName.of("acme", "dev"), "1" * 40, b"csr", back),
        lambda: check_rejoin(PUBLIC, AgentName.of("acm", "eprod"), "1" * 40, b"csr", back),
    ):
        with pytest.raises(RequestError):
            wrong()


def test_the_certificates_own_proof() -> None:
    """By its key alone, for what it says; a proof of the link key is none."""
    pki = make_pki("proof")
    key, other = new_curve_key(KeyKind.LEAF), new_curve_key(KeyKind.LEAF)
    leaf = der(issue_agent(pki.authority, NAME, key.public_key(), NOW))
    proof = held(key, NAME, "1" * 40, b"csr")
    check_held(leaf, NAME, "1" * 40, b"csr", proof)
    for wrong in (
        lambda: check_held(leaf, NAME, "1" * 40, b"csx", proof),
        lambda: check_held(leaf, NAME, "2" * 40, b"csr", proof),
        lambda: check_held(leaf, AgentName.of("acme", "dev"), "1" * 40, b"csr", proof),
        lambda: check_held(leaf, NAME, "1" * 40, b"csr", held(other, NAME, "1" * 40, b"csr")),
        lambda: check_held(leaf, NAME, "1" * 40, b"csr", rejoin(KEY, NAME, "1" * 40, b"csr")),
        lambda: check_held(leaf, NAME, "1" * 40, b"csr", b"garbage"),
    ):
        with pytest.raises(RequestError):
            wrong()


@given(st.binary(max_size=40), st.binary(max_size=80))
def test_garbage_is_a_typed_error(key: bytes, proof: bytes) -> None:
    """Also keys and signatures of the wrong size."""
    with pytest.raises(RequestError):
        check_bind(key, b"csr", proof)
