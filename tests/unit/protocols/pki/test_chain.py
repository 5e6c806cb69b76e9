import pytest
from cryptography.x509 import (
    BasicConstraints,
    DNSName,
    ExtendedKeyUsage,
    Name,
    NameAttribute,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from protocols.pki import profile
from protocols.pki.authority import IssuingAuthority, RootAuthority
from protocols.pki.ceremony import cross_sign, sign_intermediate
from protocols.pki.certificates import serial_of, to_der
from protocols.pki.chain import read_agent, verify_agent, verify_control_plane
from protocols.pki.errors import ChainError, PkiError, RevokedError
from protocols.pki.issuance import issue_agent
from protocols.pki.keys import KeyKind, key_hash, new_curve_key
from protocols.pki.names import CONTROL_PLANE
from protocols.pki.requests import create_authority_csr
from protocols.pki.trust import TrustStore
from tests.unit.protocols.pki.samples import (
    NAME,
    NOW,
    Holder,
    forge,
    make_agent,
    make_pki,
    make_server,
    uris,
)
from tests.unit.protocols.pki.test_names import HOSTILE

A, B = make_pki("a"), make_pki("b")
AGENT, SERVER = make_agent(A), make_server(A)
ONE = profile.SECOND


def test_an_agent_is_whom_its_certificate_names() -> None:
    """With serial, key and validity for whoever keeps the ledger."""
    agent = verify_agent(AGENT.ders, A.trust, NOW)
    assert agent.name == NAME
    assert agent.leaf.serial == serial_of(AGENT.chain[0])
    assert agent.leaf.key == key_hash(AGENT.key.public_key())
    assert agent.leaf.not_after - agent.leaf.not_before == profile.AGENT_LIFE + profile.SKEW
    assert read_agent(AGENT.ders[0]) == agent


def test_the_control_plane_is_known_by_its_uri() -> None:
    """Whatever host was dialled."""
    assert verify_control_plane(SERVER.ders, A.trust, NOW).uri == CONTROL_PLANE


def test_each_use_is_for_one_end() -> None:
    """A server's leaf is no client, an agent's no server: who has one cannot pose as the other."""
    with pytest.raises(ChainError):
        verify_agent(SERVER.ders, A.trust, NOW)
    with pytest.raises(ChainError):
        verify_control_plane(AGENT.ders, A.trust, NOW)
    with pytest.raises(ChainError):
        read_agent(SERVER.ders[0])


def test_it_counts_from_its_first_to_its_last_second() -> None:
    """No leeway beyond the five minutes it is dated back."""
    first, last = NOW - profile.SKEW, NOW + profile.AGENT_LIFE
    for instant in (first, last):
        verify_agent(AGENT.ders, A.trust, instant)
    for instant in (first - ONE, last + ONE):
        with pytest.raises(ChainError):
            verify_agent(AGENT.ders, A.trust, instant)


def test_a_chain_with_an_expired_authority_is_refused() -> None:
    """Although a leaf never outlives its issuer, a forged one may."""
    with pytest.raises(ChainError):
        verify_agent(AGENT.ders, A.trust, NOW + profile.INTERMEDIATE_LIFE + ONE)


def test_the_root_must_be_trusted() -> None:
    """The same name under another authority, a missing intermediate, a root brought along."""
    impostor = make_agent(B)
    for chain in (
        impostor.ders,
        [*impostor.ders, to_der(B.root.certificate)],
        AGENT.ders[:1],
        [impostor.ders[0], AGENT.ders[1]],
        [],
        AGENT.ders * 3,
    ):
        with pytest.raises(ChainError):
            verify_agent(chain, A.trust, NOW)


def test_a_revoked_serial_is_refused_as_such() -> None:
    """And no other is."""
    serial = serial_of(AGENT.chain[0])
    with pytest.raises(RevokedError):
        verify_agent(AGENT.ders, A.trust, NOW, {serial})
    assert verify_agent(AGENT.ders, A.trust, NOW, {serial[::-1]}).name == NAME


def test_a_leaf_is_no_authority() -> None:
    """Neither one that says so itself, nor one under which somebody issues."""
    fake = IssuingAuthority(AGENT.key, AGENT.chain[0], A.root.certificate)
    below = issue_agent(fake, NAME, new_curve_key(KeyKind.LEAF).public_key(), NOW)
    with pytest.raises(ChainError):
        verify_agent([to_der(below), *AGENT.ders], A.trust, NOW)
    claims = forge(A, uris(NAME.uri), constraints=BasicConstraints(ca=True, path_length=0))
    with pytest.raises(ChainError):
        verify_agent(claims.ders, A.trust, NOW)


def test_an_intermediate_makes_no_authorities() -> None:
    """Path length 0: whoever steals its key cannot hide below a new one."""
    key = new_curve_key(KeyKind.AUTHORITY)
    stolen = RootAuthority(A.authority.key, A.authority.certificate)
    sub = sign_intermediate(stolen, create_authority_csr(key, "sub"), NOW)
    leaf = issue_agent(
        IssuingAuthority(key, sub, A.root.certificate),
        NAME,
        new_curve_key(KeyKind.LEAF).public_key(),
        NOW,
    )
    with pytest.raises(ChainError):
        verify_agent([to_der(leaf), to_der(sub), to_der(A.authority.certificate)], A.trust, NOW)


@pytest.mark.parametrize("uri", [*HOSTILE, "freehold://control-plane/", "freehold://Control-Plane"])
def test_a_name_in_another_spelling_is_refused(uri: str) -> None:
    """Even with the authority's true signature: a careless CA must not make a second identity."""
    with pytest.raises(ChainError):
        verify_agent(forge(A, uris(uri)).ders, A.trust, NOW)


@pytest.mark.parametrize(
    "holder",
    [
        forge(A, uris(NAME.uri, "freehold://acme/vaults/other")),
        forge(A, uris(NAME.uri, NAME.uri)),
        forge(A, uris(NAME.uri, CONTROL_PLANE)),
        forge(A, [*uris(NAME.uri), DNSName("localhost")]),
        forge(A, [DNSName("localhost")]),
        forge(A, uris(NAME.uri), subject=Name([NameAttribute(NameOID.COMMON_NAME, "prod")])),
        forge(A, uris(NAME.uri), kind=KeyKind.AUTHORITY),
        forge(
            A,
            uris(NAME.uri),
            ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
        ),
        forge(A, uris(NAME.uri), ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])),
    ],
    ids=[
        "two",
        "twice",
        "both ends",
        "a host",
        "no URI",
        "subject",
        "P-384",
        "two uses",
        "any use",
    ],
)
def test_a_leaf_is_of_the_profile_or_refused(holder: Holder) -> None:
    """One name, one use, one kind of key, whoever signed it."""
    with pytest.raises(ChainError):
        verify_agent(holder.ders, A.trust, NOW)


def test_a_server_must_be_the_control_plane() -> None:
    """A server's certificate with an agent's name, or with two URIs, is refused."""
    for names in (uris(NAME.uri), uris(CONTROL_PLANE, NAME.uri)):
        with pytest.raises(ChainError):
            verify_control_plane(forge(A, names, profile.SERVER_USE).ders, A.trust, NOW)


def test_who_trusts_the_old_root_follows_the_cross_certificate() -> None:
    """And who trusts only the new one needs none."""
    agent = make_agent(B)
    cross = to_der(cross_sign(A.root, B.root.certificate, NOW))
    with pytest.raises(ChainError):
        verify_agent(agent.ders, A.trust, NOW)
    assert verify_agent([*agent.ders, cross], A.trust, NOW).name == NAME
    assert verify_agent([*agent.ders, cross], B.trust, NOW).name == NAME
    both = TrustStore.from_roots([A.root.certificate, B.root.certificate])
    assert verify_agent(agent.ders, both, NOW) == verify_agent(agent.ders, B.trust, NOW)


@given(st.lists(st.binary(max_size=600), max_size=4))
def test_garbage_is_a_typed_error(chain: list[bytes]) -> None:
    """Whatever a peer shows."""
    with pytest.raises(PkiError):
        verify_agent(chain, A.trust, NOW)


@given(st.integers(0, len(AGENT.ders[0]) - 1), st.integers(0, 255), st.booleans())
def test_one_byte_more_less_or_other_is_a_typed_error(at: int, byte: int, insert: bool) -> None:
    """Every byte of the leaf is covered by the signature or by the structure."""
    leaf = AGENT.ders[0]
    changed = leaf[:at] + bytes([byte]) + leaf[at if insert else at + 1 :]
    if changed != leaf:
        with pytest.raises(PkiError):
            verify_agent([changed, AGENT.ders[1]], A.trust, NOW)
