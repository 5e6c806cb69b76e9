"""`freehold backup prove` and `certificates`: with shares or a key file, and what they print."""

import base64
from pathlib import Path

import pytest

from tests.contract.backup.samples import back_up
from tests.support.sealed_vaults import fill_sealed
from tests.support.vaults import ROOT_KEY, Vault
from tests.unit.ui.cli.conftest import Run
from vault.backup.certificate import certificate_verifier
from vault.backup.keys import VaultKeys
from vault.crypto.backup_keys import Identity


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """One in a file, with the backups `full`, and `offline` for the identity in `identity`."""
    made = Vault(f"sqlite:///{tmp_path}/vault.db")
    identity, text = Identity.create()
    (tmp_path / "identity").write_text(f"{text}\n")
    (tmp_path / "root.key").write_bytes(ROOT_KEY)
    (tmp_path / "root.key").chmod(0o600)
    with made.opened():
        fill_sealed(made, 5)
        back_up(made, tmp_path / "b", "full")
        back_up(made, tmp_path / "b", "offline", recipients=[identity.recipient])
    return made


def arguments(tmp_path: Path, *more: str) -> tuple[str, ...]:
    """Of every command here."""
    return (*more, "--key-file", str(tmp_path / "root.key"), "-o", "json")


def test_prove_and_list(cli: Run, tmp_path: Path, vault: Vault) -> None:
    """A certificate for each; without an identity one of recipients says that it saw no rows."""
    folder, work = str(tmp_path / "b"), str(tmp_path / "work")
    prove = ("backup", "prove", folder)
    done = cli(*arguments(tmp_path, *prove, "full", "--work-dir", work))
    assert done.code == 0, done.err
    assert (done.json["depth"], done.json["sampled"]) == ("rows", "5 of 5")
    assert done.json["rto_seconds"] > 0
    assert done.json["certificate"] == "full.1.certificate"
    done = cli(*arguments(tmp_path, *prove, "offline", "--work-dir", work))
    assert (done.json["depth"], done.json["rto_seconds"]) == ("chunks", None)
    assert "--identity" in done.err
    identity = ("--identity", str(tmp_path / "identity"))
    done = cli(*arguments(tmp_path, *prove, "offline", "--work-dir", work, *identity))
    assert done.json["depth"] == "rows"
    assert not list(Path(work).iterdir())
    listed = cli(*arguments(tmp_path, "backup", "certificates", folder))
    names = ["full.1.certificate", "offline.1.certificate", "offline.2.certificate"]
    assert [each["certificate"] for each in listed.json] == names
    verifier = certificate_verifier("vault-1", VaultKeys(vault.keyring).backup)
    shown = cli("backup", "certificates", folder, "--verifier", verifier, "-o", "json")
    assert shown.json == listed.json


@pytest.mark.usefixtures("vault")
def test_shares(cli: Run, tmp_path: Path) -> None:
    """Asked for without a key file."""
    share = base64.b64encode(ROOT_KEY).decode()
    done = cli("backup", "prove", str(tmp_path / "b"), "full", stdin=f"{share}\n")
    assert done.code == 0, done.err


def test_refused(cli: Run, tmp_path: Path, vault: Vault) -> None:
    """A damaged backup, another root key, none; a certificate that is another's fails the list."""
    folder = tmp_path / "b"
    prove = ("backup", "prove", str(folder))
    data = (folder / "full.backup").read_bytes()
    (folder / "full.backup").write_bytes(data[:-1])
    done = cli(*arguments(tmp_path, *prove, "full"))
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert cli(*arguments(tmp_path, *prove, "none")).code == 3
    (folder / "full.backup").write_bytes(data)
    (tmp_path / "root.key").write_bytes(bytes(32))
    assert cli(*arguments(tmp_path, *prove, "full")).code == 4
    (tmp_path / "root.key").write_bytes(ROOT_KEY)
    assert not list(folder.glob("*.certificate"))
    assert cli(*arguments(tmp_path, *prove, "full")).code == 0
    made = folder / "full.1.certificate"
    forged = made.read_bytes().replace(b'"sampled":5', b'"sampled":4')
    (folder / "full.2.certificate").write_bytes(forged)
    listed = cli(*arguments(tmp_path, "backup", "certificates", str(folder)))
    assert listed.code == 1
    assert [each["certificate"] for each in listed.json] == ["full.1.certificate"]
    assert "full.2.certificate" in listed.err
    wrong = cli("backup", "certificates", str(folder), "--verifier", "x")
    assert wrong.code == 64
    assert vault.keyring.vault == "vault-1"
