import pytest

from protocols.pki.ceremony import cross_sign
from protocols.pki.certificates import to_der
from protocols.pki.errors import ChainError, PinError
from protocols.pki.pin import pin_of
from protocols.pki.trust import MAX_ROOTS, TrustStore
from tests.unit.protocols.pki.samples import (
    NOW,
    cross_of,
    intermediate_as_root,
    make_pki,
    make_server,
)

A, B, C = make_pki("a"), make_pki("b"), make_pki("c")
ROOT_A, ROOT_B, ROOT_C = (pki.root.certificate for pki in (A, B, C))
CROSS = cross_sign(A.root, ROOT_B, NOW)


def test_it_comes_back_from_its_file() -> None:
    """In order, each root once."""
    trust = TrustStore.from_roots([ROOT_A, ROOT_B, ROOT_A])
    assert TrustStore.from_pem(trust.to_pem()) == trust
    assert trust.pins == [pin_of(ROOT_A), pin_of(ROOT_B)]
    assert trust.to_der() == [to_der(ROOT_A), to_der(ROOT_B)]


def test_it_is_neither_empty_nor_large() -> None:
    """An empty trust store would be read as any by careless code."""
    with pytest.raises(ChainError):
        TrustStore.from_roots([])
    with pytest.raises(ChainError):
        TrustStore.from_roots(
            [make_pki(f"many {i}").root.certificate for i in range(MAX_ROOTS + 1)]
        )


def test_a_pin_finds_its_authority_in_the_chain() -> None:
    """Also as a cross-certificate; never in the leaf's place."""
    chain = make_server(A).ders
    assert TrustStore.from_pin(chain, pin_of(ROOT_A)).roots == (ROOT_A,)
    assert TrustStore.from_pin([chain[0], to_der(CROSS)], pin_of(ROOT_B)).roots == (CROSS,)
    for shown in (chain, [to_der(ROOT_B)], []):
        with pytest.raises(PinError):
            TrustStore.from_pin(shown, pin_of(ROOT_B))


def test_a_new_root_must_be_certified_by_a_trusted_one() -> None:
    """The control plane without its roots' keys cannot have itself trusted under another."""
    trust = TrustStore.from_roots([ROOT_A])
    assert trust.updated([ROOT_A, ROOT_B], CROSS).roots == (ROOT_A, ROOT_B)
    assert trust.updated([ROOT_B], CROSS).roots == (ROOT_B,)
    for roots, cross in (
        ([ROOT_A, ROOT_B], None),
        ([ROOT_B], None),
        ([ROOT_A, ROOT_C], CROSS),
        ([ROOT_A, ROOT_B, ROOT_C], CROSS),
        ([ROOT_B], cross_sign(C.root, ROOT_B, NOW)),
        ([ROOT_B], ROOT_B),
        ([ROOT_B], A.authority.certificate),
        ([], CROSS),
    ):
        with pytest.raises(ChainError):
            trust.updated(roots, cross)


def test_a_root_may_be_made_anew() -> None:
    """With its key and name, by that key: it counts for longer, and needs no other proof."""
    again = cross_of(A.root, ROOT_A, 2)
    assert TrustStore.from_roots([ROOT_A]).updated([again], None).roots == (again,)
    assert TrustStore.from_roots([ROOT_A]).updated([ROOT_B, again], CROSS).roots == (ROOT_B, again)
    for trust, root in (
        (TrustStore.from_roots([ROOT_B]), again),
        (TrustStore.from_roots([ROOT_A]), cross_of(A.root, ROOT_A, 0)),
    ):
        with pytest.raises(ChainError):
            trust.updated([root], None)


def test_an_intermediate_does_not_become_a_root() -> None:
    """A root that trusts it has certified its key and name: to issue, and not to be one."""
    taken = A.authority.certificate
    made = intermediate_as_root(A).certificate
    assert made.subject == taken.subject
    for trust in (TrustStore.from_roots([ROOT_A]), TrustStore.from_roots([ROOT_A, taken])):
        for roots in ([made], [ROOT_A, made]):
            with pytest.raises(ChainError, match="certified by one that is trusted"):
                trust.updated(roots, taken)


@pytest.mark.parametrize(("path", "counts"), [(None, True), (0, False), (1, True), (2, True)])
def test_a_new_roots_certificate_allows_an_intermediate(path: int | None, *, counts: bool) -> None:
    """Of the root before it; without a path length it allows any number."""
    trust, cross = TrustStore.from_roots([ROOT_A]), cross_of(A.root, ROOT_B, path)
    if counts:
        assert trust.updated([ROOT_B], cross).roots == (ROOT_B,)
    else:
        with pytest.raises(ChainError):
            trust.updated([ROOT_B], cross)


def test_who_is_trusted_as_an_intermediate_certifies_no_root() -> None:
    """An anchor counts for what it may sign: one of path length 1 has intermediates below it."""
    for path in (0, 1):
        anchor = cross_of(A.root, ROOT_B, path)
        with pytest.raises(ChainError):
            TrustStore.from_roots([anchor]).updated([ROOT_C], cross_sign(B.root, ROOT_C, NOW))
    anchor = cross_of(A.root, ROOT_B, 2)
    assert TrustStore.from_roots([anchor]).updated(
        [ROOT_C], cross_sign(B.root, ROOT_C, NOW)
    ).roots == (ROOT_C,)


def test_an_old_root_is_forgotten_and_does_not_come_back() -> None:
    """Once a rollover has ended, its key adds nothing."""
    trust = TrustStore.from_roots([ROOT_A, ROOT_B]).updated([ROOT_B], None)
    assert trust.roots == (ROOT_B,)
    with pytest.raises(ChainError):
        trust.updated([ROOT_A, ROOT_B], CROSS)
