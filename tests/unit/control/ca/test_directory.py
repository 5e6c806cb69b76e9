import os
import stat
from pathlib import Path

import pytest

from control.ca.directory import (
    STATE_FILE,
    CaDirectory,
    first_certificate,
    load_root,
    make_private_folder,
    make_root,
)
from control.ca.rollover import MIN_WAIT, Phase
from control.errors import ConflictError, NotFoundError, UnavailableError
from protocols.pki.ceremony import sign_intermediate
from protocols.pki.certificates import parse_pem_chain, to_der, to_pem, validity_period
from protocols.pki.chain import verify_control_plane
from protocols.pki.errors import ChainError, PkiError, PkiKeyError
from protocols.pki.files import read_file
from protocols.pki.pin import pin_of
from protocols.pki.profile import DAY
from protocols.pki.trust import TrustStore
from tests.unit.protocols.pki.samples import NOW, cross_of, make_pki


@pytest.fixture
def ca(tmp_path: Path) -> CaDirectory:
    """With a root in `r1`."""
    made = CaDirectory(tmp_path / "ca")
    made.create_authority(tmp_path / "r1", "Test", NOW)
    return made


def _shown(ca: CaDirectory) -> list[bytes]:
    chain = parse_pem_chain(read_file(ca.issue_server_certificate(["localhost"], NOW).chain))
    return [to_der(certificate) for certificate in chain]


def test_no_key_of_a_root_stays_and_modes_are_tight(tmp_path: Path) -> None:
    """Whatever the umask."""
    before = os.umask(0)
    try:
        CaDirectory(tmp_path / "ca").create_authority(tmp_path / "r1", "Test", NOW)
    finally:
        os.umask(before)
    keys = list(tmp_path.rglob("*.key"))
    assert {path.parent.name for path in keys} == {"r1", "1"}
    assert not list((tmp_path / "ca").rglob("root.key"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    folders = {path.parent for path in keys} | {tmp_path / "ca"}
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_a_rollover_leads_both_kinds_of_agents(ca: CaDirectory, tmp_path: Path) -> None:
    """Who trusts the old root alone follows the cross-certificate, until a forced end."""
    old = ca.issuing_state().trust
    ca.rollover_start(load_root(tmp_path / "r1"), tmp_path / "r2", "Test", NOW)
    standing = ca.issuing_state()
    assert standing.cross is not None
    both = old.updated(list(standing.trust.roots), standing.cross.certificate)
    assert len(both.roots) == 2
    assert standing.authority.root == old.roots[0]
    with pytest.raises(ConflictError):
        ca.rollover_switch(NOW + MIN_WAIT - 1)
    ca.rollover_switch(NOW + MIN_WAIT)
    new = TrustStore.from_roots([ca.issuing_state().authority.root])
    for trust in (old, both, new, TrustStore.from_pin(_shown(ca), old.pins[0])):
        verify_control_plane(_shown(ca), trust, NOW)
    verify_control_plane(_shown(ca), TrustStore.from_pin(_shown(ca), new.pins[0]), NOW)
    ca.rollover_finish(NOW + MIN_WAIT, force=True)
    assert (ca.read_state().phase, ca.issuing_state().trust) == (Phase.STEADY, new)
    with pytest.raises(ChainError):
        verify_control_plane(_shown(ca), old, NOW)


def test_a_rollover_needs_the_active_root(ca: CaDirectory, tmp_path: Path) -> None:
    """Another root's key announces nothing."""
    other = make_root(tmp_path / "other", "x", NOW)
    with pytest.raises(ConflictError, match="not the root"):
        ca.rollover_start(other, tmp_path / "r2", "Test", NOW)
    assert ca.read_state().phase is Phase.STEADY


def test_the_users_own_root_signs_what_we_ask(tmp_path: Path) -> None:
    """And what another signed, or for another key, is not installed."""
    ca, mine, other = CaDirectory(tmp_path / "ca"), make_pki("mine"), make_pki("other")
    request = ca.create_request("ours")
    assert ca.create_request("ours") == request
    signed = to_pem([sign_intermediate(mine.root, request, NOW)])
    for wrong, root in (
        (signed, other.root.certificate),
        (to_pem([mine.authority.certificate]), mine.root.certificate),
    ):
        with pytest.raises(PkiError):
            ca.install_intermediate(wrong, to_pem([root]))
    ca.install_intermediate(signed, to_pem([mine.root.certificate]))
    assert ca.issuing_state().trust.pins == [pin_of(mine.root.certificate)]


def test_another_root_comes_by_a_rollover_alone(tmp_path: Path) -> None:
    """No agent trusts it: it is neither installed nor does it renew; the present one may."""
    ca, mine, other = CaDirectory(tmp_path / "ca"), make_pki("mine"), make_pki("other")
    request = ca.create_request("ours")
    root = to_pem([mine.root.certificate])
    ca.install_intermediate(to_pem([sign_intermediate(mine.root, request, NOW)]), root)
    before = ca.issuing_state().authority
    with pytest.raises(ConflictError, match="rollover"):
        ca.install_intermediate(
            to_pem([sign_intermediate(other.root, request, NOW)]), to_pem([other.root.certificate])
        )
    with pytest.raises(ConflictError, match="rollover"):
        ca.renew_intermediate(other.root, NOW)
    assert ca.issuing_state().authority.issuers == before.issuers
    ca.install_intermediate(to_pem([sign_intermediate(mine.root, request, NOW + DAY)]), root)
    assert validity_period(ca.issuing_state().authority.certificate)[1] == NOW + 366 * DAY


def test_a_root_that_was_made_anew_is_installed(tmp_path: Path) -> None:
    """Of the same key and name, for longer: agents follow it as they renew."""
    ca, mine = CaDirectory(tmp_path / "ca"), make_pki("mine")
    signed = to_pem([sign_intermediate(mine.root, ca.create_request("ours"), NOW)])
    ca.install_intermediate(signed, to_pem([mine.root.certificate]))
    before = ca.issuing_state().trust
    ca.install_intermediate(signed, to_pem([cross_of(mine.root, mine.root.certificate, 2)]))
    after = ca.issuing_state().trust
    assert before.roots != after.roots
    assert before.updated(after.roots, None) == after
    verify_control_plane(_shown(ca), before, NOW)


@pytest.mark.parametrize(("present", "anew"), [(1, 2), (1, 1), (2, 0)])
def test_a_root_made_anew_that_no_agent_follows_is_refused(
    tmp_path: Path, present: int, anew: int
) -> None:
    """By its path length or that of the certificate which they trust; that one still renews."""
    ca, key = CaDirectory(tmp_path / "ca"), make_pki("mine").root
    first_one = cross_of(key, key.certificate, present)
    signed = to_pem([sign_intermediate(key, ca.create_request("ours"), NOW)])
    ca.install_intermediate(signed, to_pem([first_one]))
    another = cross_of(key, key.certificate, anew)
    with pytest.raises(ChainError):
        TrustStore.from_roots([first_one]).updated([another], None)
    with pytest.raises(ConflictError, match="no agent would follow"):
        ca.install_intermediate(signed, to_pem([another]))
    ca.install_intermediate(signed, to_pem([first_one]))
    assert ca.issuing_state().trust.roots == (first_one,)


def test_an_intermediate_is_certified_again(ca: CaDirectory, tmp_path: Path) -> None:
    """With the same key, so that its certificates go on."""
    before = ca.issuing_state().authority
    ca.renew_intermediate(load_root(tmp_path / "r1"), NOW + 300 * DAY)
    after = ca.issuing_state().authority
    assert after.id == before.id
    assert validity_period(after.certificate)[1] == NOW + 665 * DAY


def test_what_is_missing_damaged_or_there_is_told(ca: CaDirectory, tmp_path: Path) -> None:
    """As typed errors."""
    with pytest.raises(ConflictError):
        ca.create_authority(tmp_path / "r9", "x", NOW)
    with pytest.raises(NotFoundError):
        CaDirectory(tmp_path / "none").read_state()
    with pytest.raises(PkiKeyError):
        make_root(tmp_path / "r1", "x", NOW)
    (tmp_path / "file").touch()
    with pytest.raises(PkiKeyError):
        make_private_folder(tmp_path / "file" / "below")
    with pytest.raises(ChainError):
        first_certificate(b"")
    (ca.path / STATE_FILE).write_text("{}")
    with pytest.raises(UnavailableError):
        ca.read_state()
