"""Keys and certificates in files: whole at every moment, and nobody else's."""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from protocols.pki import files
from protocols.pki.certificates import to_der
from protocols.pki.errors import ChainError, PkiError, PkiKeyError
from protocols.pki.messages import Grant, RenewRequest
from tests.unit.control.ca.harness import NAME, PKI
from tests.unit.protocols.pki.samples import intermediate_as_root, make_pki
from tests.unit.vault.control_link.office import Office
from vault.control_link.identity import IdentityStore

DAY = 86_400


class CrashError(Exception):
    """The process ends here."""


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """A desk and an agent without a name."""
    return Office(tmp_path)


async def granted(office: Office) -> Grant:
    """The next grant, for the store's next key."""
    held = office.store.load_credential()
    assert held is not None
    body = msgspec.json.encode(RenewRequest(csr=office.store.create_request()))
    answer = await office.post(None, "", "/renew", body)  # type: ignore[arg-type]  # no TLS here
    return msgspec.json.decode(answer, type=Grant)


async def test_who_was_never_let_in_is_nobody(office: Office) -> None:
    """And has a link key of its own from the beginning, which stays."""
    office.store.prepare()
    first = (office.folder / "link.key").read_bytes()
    office.store.prepare()
    assert office.store.load_credential() is None
    assert (office.folder / "link.key").read_bytes() == first


async def test_secrets_are_their_owners_alone(office: Office) -> None:
    """Whatever the umask; what was opened to others is refused."""
    await office.enrolled()
    for name in ("link.key", "agent.key"):
        assert (office.folder / name).stat().st_mode & 0o777 == 0o600
    assert office.folder.stat().st_mode & 0o777 == 0o700
    (office.folder / "agent.key").chmod(0o644)
    with pytest.raises(PkiKeyError, match="0644"):
        office.store.load_credential()


async def test_an_enrolment_is_there_after_a_restart(office: Office, tmp_path: Path) -> None:
    """Name, keys of the control plane, certificate; also where the settings say."""
    await office.enrolled()
    held = IdentityStore(office.folder).load_credential()
    assert held is not None
    assert held.name == NAME
    assert held.enrolment.generation == 1
    assert held.enrolment.policy_key == b"p" * 32
    elsewhere = Office(tmp_path / "other")
    elsewhere.store = IdentityStore(elsewhere.folder, tmp_path / "a.crt", tmp_path / "a.key")
    elsewhere.enroller._store = elsewhere.store
    await elsewhere.enrolled()
    assert (tmp_path / "a.crt").exists()
    assert elsewhere.store.load_credential() is not None


async def test_an_enrolment_notes_the_authority_it_was_pinned_by(office: Office) -> None:
    """A renewal keeps it; a file of before the note is read, and knows none."""
    await office.enrolled()
    held = office.store.load_credential()
    assert held is not None
    pin = held.enrolment.authority
    assert [pin] == held.trust.pins
    office.store.store_renewal(await granted(office), office.ca.world.now())
    again = office.store.load_credential()
    assert again is not None
    assert again.enrolment.authority == pin
    file = office.folder / "enrolment.json"
    old = msgspec.json.decode(file.read_bytes())
    del old["authority"]
    file.write_bytes(msgspec.json.encode(old))
    former = office.store.load_credential()
    assert former is not None
    assert former.enrolment.authority == ""


@pytest.mark.parametrize("step", range(1, 12))
async def test_a_crash_between_any_two_steps_of_a_renewal(
    office: Office, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The old identity or the new one; and asking again with the same key ends as it should."""
    await office.enrolled()
    steps = 0

    def counted(path: Path, data: bytes, mode: int, *, replace: bool = False) -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            raise CrashError
        write(path, data, mode, replace=replace)
        steps += 1
        if steps == step:
            raise CrashError

    write = files.write_atomically
    with monkeypatch.context() as patch:
        patch.setattr("protocols.pki.files.write_atomically", counted)
        patch.setattr("protocols.pki.keys.write_atomically", counted)
        try:
            grant = await granted(office)
            office.store.store_renewal(grant, office.ca.world.now())
        except CrashError:
            pass
    held = IdentityStore(office.folder).load_credential()
    assert held is not None
    office.store.store_renewal(await granted(office), office.ca.world.now())
    again = office.store.load_credential()
    assert again is not None
    newest = (await office.ca.agent()).generation
    assert again.enrolment.generation == newest
    certificate = await office.ca.ledger.transact(lambda tx: tx.certificate(again.serial))
    assert certificate is not None
    assert certificate.generation == newest


@pytest.mark.parametrize(
    "change",
    [
        {"org": "other"},
        {"vault": "other"},
        {"policy_key": b"x" * 32},
        {"generation": 0},
        {"roots": "foreign"},
    ],
)
async def test_a_malicious_grant_changes_nothing(office: Office, change: dict[str, object]) -> None:
    """Another name or policy key would make the agent forget its policies; roots need a cross."""
    await office.enrolled()
    before = office.store.load_credential()
    grant = await granted(office)
    if change.get("roots"):
        change = {"roots": make_pki("foreign").trust.to_der()}
    with pytest.raises(ChainError):
        office.store.store_renewal(replace(grant, **change), office.ca.world.now())
    after = IdentityStore(office.folder).load_credential()
    assert after is not None
    assert before is not None
    assert after.enrolment == before.enrolment
    assert after.leaf == before.leaf


async def test_a_control_plane_that_was_taken_over_is_no_root(office: Office) -> None:
    """It shows what its root has certified, its own intermediate, for the root that it would be."""
    await office.enrolled()
    before = (office.folder / "roots.pem").read_bytes()
    taken = intermediate_as_root(PKI).certificate
    grant = replace(
        await granted(office), roots=[to_der(taken)], cross=to_der(PKI.authority.certificate)
    )
    with pytest.raises(ChainError, match="certified by one that is trusted"):
        office.store.store_renewal(grant, office.ca.world.now())
    assert (office.folder / "roots.pem").read_bytes() == before


async def test_a_grant_for_another_key_is_not_taken(office: Office) -> None:
    """The certificate must be for the key that we have."""
    await office.enrolled()
    grant = await granted(office)
    office.store.discard_next_key()
    office.store.create_request()
    with pytest.raises(ChainError, match="another key"):
        office.store.store_renewal(grant, office.ca.world.now())


@pytest.mark.parametrize("name", ["agent.crt", "agent.key", "roots.pem", "enrolment.json"])
async def test_files_that_do_not_fit_are_told(office: Office, name: str) -> None:
    """Damaged or missing: an error that names the file's fault, never a traceback."""
    await office.enrolled()
    (office.folder / name).write_bytes(b"damaged")
    with pytest.raises(PkiError):
        office.store.load_credential()
