"""`freehold backup` on files: keys from shares or a file, what it prints, and how it refuses."""

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.store.samples import put, secret, token
from tests.support.databases import make_backend
from tests.support.vaults import ROOT_KEY, Vault, contents
from tests.unit.ui.cli.conftest import Done, Run
from vault.seal.anchor.anchor_file import AnchorFile
from vault.seal.anchor.state import Anchor
from vault.seal.root_keys.shares import SealConfig, split_root_key
from vault.store.tables import SECRETS, TOKENS

SHARES = split_root_key(ROOT_KEY, SealConfig(3, 2))
BY_SHARES = f"{base64.b64encode(SHARES[0]).decode()}\n{SHARES[2].hex()}\n"


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """A closed one whose root key is in 3 shares, of which 2 open it."""
    made = Vault(f"sqlite:///{tmp_path}/old/vault.db")
    with made.opened():
        made.create(3, 2)
        made.commit(put(SECRETS, secret("secret/a")), put(TOKENS, token("accessor")))
    return made


@pytest.fixture
def config(tmp_path: Path, vault: Vault) -> str:
    """Of its agent."""
    return configuration(tmp_path / "old.yaml", vault.url)


def configuration(file: Path, url: str, **more: Any) -> str:
    """Of an agent on this database."""
    server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}}
    storage = {"type": "sqlite", "connection_string": url, "max_connections": 1}
    file.write_text(yaml.safe_dump({"server": server, "storage": storage, **more}))
    return str(file)


def create(cli: Run, tmp_path: Path, config: str, *more: str) -> Any:
    """A backup, by shares."""
    done = cli(
        "backup", "create", str(tmp_path / "b"), "--config", config, *more, "-o", "json",
        stdin=BY_SHARES,
    )  # fmt: skip
    assert done.code == 0, done.err
    return done.json


def restore(cli: Run, tmp_path: Path, backup: str, config: str, *more: str, stdin: str) -> Done:
    """Into the database of the configuration."""
    return cli(
        "backup", "restore", str(tmp_path / "b"), backup, "--config", config, "--reason", "fire",
        *more, "-o", "json", stdin=stdin,
    )  # fmt: skip


def test_by_shares(cli: Run, tmp_path: Path, config: str, vault: Vault) -> None:
    """Made, listed, shown, verified and restored with shares from stdin."""
    made = create(cli, tmp_path, config)
    assert made["verifier"].startswith("freehold.backup/vault-1+")
    folder = str(tmp_path / "b")
    listed = cli("backup", "list", folder)
    assert made["id"] in listed.out
    assert "full" in listed.out
    shown = cli("backup", "show", folder, made["id"], "-o", "json").json
    assert {"table": "secrets", "rows": 1, "removed": 0} in shown["tables"]
    assert shown["vault"] == "vault-1"
    valid = cli("backup", "validate", folder, made["id"], "-o", "json", stdin=BY_SHARES)
    assert valid.json["valid"]
    assert valid.json["rows"] == made["rows"]
    url = f"sqlite:///{tmp_path}/new/vault.db"
    target = configuration(tmp_path / "new.yaml", url)
    done = restore(cli, tmp_path, made["id"], target, stdin=BY_SHARES)
    assert done.code == 0, done.err
    assert done.json["tokens_dropped"] == 1
    assert "Do not start an agent on the former database again." in done.err
    assert "generate-root" in done.err
    backend = make_backend(url)
    backend.open()
    with backend.read() as session:
        assert session.get(SECRETS, ("secret/a",)) is not None
    backend.close()
    with vault.opened() as backend:
        assert len(contents(backend)[TOKENS.name]) == 1  # the former one is as it was


def test_wrong_shares(cli: Run, tmp_path: Path, config: str) -> None:
    """Nothing is made; a share that is none, one that is cut, another vault's, too few."""
    first = base64.b64encode(SHARES[0]).decode()
    wrong = {
        f"{first}\nno share\n": 64,
        f"{first}\n{SHARES[1][:-1].hex()}\n": 1,
        f"{first}\n{bytes(33)[:-1].hex()}07\n": 4,
        f"{first}\n": 1,
    }
    for given, code in wrong.items():
        done = cli("backup", "create", str(tmp_path / "b"), "--config", config, stdin=given)
        assert done.code == code, done.err
        assert len(done.err.splitlines()) == 1
        assert "Traceback" not in done.err
        assert not (tmp_path / "b").exists()


def test_by_a_key_file(cli: Run, tmp_path: Path, vault: Vault, config: str) -> None:
    """Of the option; or of the configuration, and then the one that a rekey has left beside it."""
    made = create(cli, tmp_path, config)
    file = tmp_path / "root.key"
    file.write_bytes(bytes(32))
    file.chmod(0o600)
    arguments = ("backup", "validate", str(tmp_path / "b"), made["id"])
    wrong = cli(*arguments, "--key-file", str(file))
    assert wrong.code == 4
    assert "does not open the keyring" in wrong.err
    beside = tmp_path / "root.key.next"
    beside.write_bytes(ROOT_KEY)
    beside.chmod(0o600)
    keys = {"key_management": "file", "key_file": str(file)}
    with_file = configuration(tmp_path / "file.yaml", vault.url, encryption=keys)
    assert cli(*arguments, "--config", with_file).code == 0


def test_above_the_anchor(cli: Run, tmp_path: Path, config: str, vault: Vault) -> None:
    """The restored vault is later than all that this machine's anchor has seen of it."""
    made = create(cli, tmp_path, config)
    target = configuration(
        tmp_path / "new.yaml",
        f"sqlite:///{tmp_path}/new/vault.db",
        anchor={"file": str(tmp_path / "anchor")},
    )
    seen = Anchor(vault="vault-1", node="n", epoch=5, commits=900, checkpoint="")
    AnchorFile(tmp_path / "anchor").write(seen, vault.keys)
    done = restore(cli, tmp_path, made["id"], target, stdin=BY_SHARES)
    assert (done.json["commits"], done.json["epoch"]) == (901, 6)


def test_an_older_database_is_not_migrated(
    cli: Run, tmp_path: Path, config: str, vault: Vault
) -> None:
    """A backup changes nothing: the agent of this version does that at its start."""
    backend = vault.backend
    backend.take()
    backend.write_step("0001")
    backend.close()
    done = cli("backup", "create", str(tmp_path / "b"), "--config", config, stdin=BY_SHARES)
    assert done.code == 1
    assert "older version" in done.err
    backend.take()
    assert backend.read_step() == "0001"
    backend.close()


def test_nothing_there(cli: Run, tmp_path: Path, config: str) -> None:
    """No database, no vault in it, no folder, no such backup, no id."""
    missing = configuration(tmp_path / "m.yaml", f"sqlite:///{tmp_path}/missing.db")
    folder = tmp_path / "b"
    assert cli("backup", "create", str(folder), "--config", missing).code == 3
    (tmp_path / "empty.db").touch(0o600)
    empty = configuration(tmp_path / "e.yaml", f"sqlite:///{tmp_path}/empty.db")
    assert cli("backup", "create", str(folder), "--config", empty).code == 3
    assert cli("backup", "list", str(folder)).code == 3
    create(cli, tmp_path, config)
    assert cli("backup", "show", str(folder), "other").code == 3
    outside = cli("backup", "show", str(folder), "../b")
    assert outside.code == 1
    assert "freehold backup list" in outside.err


def test_keygen(cli: Run, tmp_path: Path, config: str) -> None:
    """An identity for its owner alone, which is never replaced; a backup for it takes it."""
    file = tmp_path / "identity"
    made = cli("backup", "keygen", str(file), "-o", "json")
    assert made.code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert cli("backup", "keygen", str(file)).code == 1
    backup = create(cli, tmp_path, config, "--recipient", made.json["recipient"])["id"]
    arguments = ("backup", "validate", str(tmp_path / "b"), backup)
    outside = cli(*arguments, "-o", "json", stdin=BY_SHARES)
    assert not outside.json["rows_verified"]
    assert "takes --identity" in outside.err
    inside = cli(*arguments, "--identity", str(file), "-o", "json", stdin=BY_SHARES)
    assert inside.json["rows_verified"]
    (tmp_path / "none").write_text("text\n")
    refused = cli(*arguments, "--identity", str(tmp_path / "none"), stdin=BY_SHARES)
    assert refused.code == 1
    wrong = cli("backup", "create", str(tmp_path / "b"), "--config", config, "--recipient", "age1…")
    assert wrong.code == 1
    assert "freehold-backup-recipient-1:" in wrong.err


def test_restore_says_why(cli: Run, tmp_path: Path, config: str) -> None:
    """A reason is needed, but for a dry run, which writes nothing."""
    made = create(cli, tmp_path, config)
    target = configuration(tmp_path / "new.yaml", f"sqlite:///{tmp_path}/new/vault.db")
    asked = ("backup", "restore", str(tmp_path / "b"), made["id"], "--config", target)
    refused = cli(*asked, stdin=BY_SHARES)
    assert refused.code == 64
    assert "--reason" in refused.err
    shown = cli(*asked, "--dry-run", "-o", "json", stdin=BY_SHARES)
    assert shown.code == 0, shown.err
    assert shown.json["tokens_dropped"] == 1
    assert shown.json["rows"]["secrets"] == 1
    assert not shown.json["compared"]
    assert not (tmp_path / "new").exists()
    table = cli(*asked, "--dry-run", "--against", config, stdin=BY_SHARES)
    assert table.code == 0, table.err
    assert "tokens_dropped" in table.out


def test_latest_of_several_vaults(cli: Run, tmp_path: Path, config: str) -> None:
    """The folder has those of two: which one is said by --vault."""
    made = create(cli, tmp_path, config)
    other = Vault(f"sqlite:///{tmp_path}/other/vault.db", "vault-2")
    with other.opened():
        other.create(3, 2)
    create(cli, tmp_path, configuration(tmp_path / "other.yaml", other.url))
    target = configuration(tmp_path / "new.yaml", f"sqlite:///{tmp_path}/new/vault.db")
    asked = ("backup", "restore", str(tmp_path / "b"), "latest", "--config", target, "--dry-run")
    refused = cli(*asked, stdin=BY_SHARES)
    assert refused.code == 5
    assert "--vault" in refused.err
    shown = cli(*asked, "--vault", "vault-1", "-o", "json", stdin=BY_SHARES)
    assert shown.json["id"] == made["id"]
    against = cli(
        *asked, "--vault", "vault-1", "--against", str(tmp_path / "other.yaml"), stdin=BY_SHARES
    )
    assert against.code == 5
    assert "nothing to compare" in against.err
