"""`freehold storage migrate` on files; `tests/contract/store/test_copy.py` has the servers."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.ui.cli.conftest import Run
from vault.model.records import SystemRow
from vault.store.interface import WriteSet
from vault.store.sqlite import SqliteBackend
from vault.store.tables import HEAD_ROW, SYSTEM

PASSWORD = "s3cret-of-the-test"


@pytest.fixture
def source(tmp_path: Path) -> str:
    """The URL of the smallest vault."""
    url = f"sqlite:///{tmp_path}/old/vault.db"
    backend = SqliteBackend(url)
    backend.open()
    head = SystemRow(name=HEAD_ROW, value=b"head")
    backend.write(lambda _: WriteSet(inserts={SYSTEM: [head]}))
    backend.close()
    return url


@pytest.fixture
def target(tmp_path: Path) -> str:
    """The URL of a file that is not there yet."""
    return f"sqlite:///{tmp_path}/new/vault.db"


def configuration(file: Path, url: str, **more: Any) -> str:
    """A configuration of an agent on this database, with as few connections as there may be."""
    server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}}
    storage = {"type": url.partition(":")[0], "connection_string": url, "max_connections": 1}
    file.write_text(yaml.safe_dump({"server": server, "storage": storage, **more}))
    return str(file)


def test_what_it_prints(cli: Run, source: str, target: str) -> None:
    """The result is for programs; how far it is and what comes next are lines beside it."""
    done = cli("storage", "migrate", "--from", source, "--to", target, "-o", "json")
    assert done.code == 0, done.err
    assert done.json["rows"] == done.json["copied"] == 1
    assert {"table": "system", "rows": 1} in done.json["tables"]
    assert len(done.json["root"]) == 64
    assert done.json["rows_per_second"] >= 0  # whole ones: a single row may take a second
    first, *_ = done.err.splitlines()
    assert first == "Copying rows: 0 of 1"
    assert "Verifying rows: 1 of 1" in done.err
    assert f"  connection_string: {target}" in done.err
    assert "Do not start an agent on the former database again." in done.err
    again = cli("storage", "migrate", "--from", source, "--to", target)
    assert again.code == 0
    assert "copied           0\n" in again.out
    assert "Copying" not in again.err


def test_what_was_beside_the_file_is_named(cli: Run, source: str, target: str) -> None:
    """By default audit log and link are beside the database, and stay where they are."""
    folder = Path(source.removeprefix("sqlite:///")).parent
    (folder / "audit.log").touch()
    (folder / "uplink").mkdir()
    done = cli("storage", "migrate", "--from", source, "--to", target)
    assert f"    log_file: {folder}/audit.log" in done.err
    assert f"    folder: {folder}/uplink" in done.err


def test_what_a_configuration_leaves_open(
    cli: Run, tmp_path: Path, source: str, target: str
) -> None:
    """It has the same effect as the file's default; what it says needs no line."""
    old = configuration(tmp_path / "old.yaml", source)
    done = cli("storage", "migrate", "--from", old, "--to", target)
    assert done.code == 0, done.err
    assert f"    log_file: {tmp_path}/old/audit.log" in done.err
    assert "folder:" not in done.err
    said = configuration(tmp_path / "said.yaml", source, audit={"log_file": "/log/audit.log"})
    done = cli("storage", "migrate", "--from", said, "--to", target)
    assert "log_file" not in done.err


def test_two_configurations(cli: Run, tmp_path: Path, source: str, target: str) -> None:
    """One that would not find log and anchor is told so; one that does is not."""
    old = configuration(tmp_path / "old.yaml", source)
    new = configuration(tmp_path / "new.yaml", target)
    done = cli("storage", "migrate", "--from", old, "--to", new)
    assert done.code == 0, done.err
    log = f"{tmp_path}/old/audit.log"
    assert f"Warning: {new}: audit.log_file is {tmp_path}/new/audit.log; this vault's is {log}" in (
        done.err
    )
    assert "Warning: " + new + ": anchor.file" in done.err
    configuration(tmp_path / "new.yaml", target, audit={"log_file": log})
    done = cli("storage", "migrate", "--from", old, "--to", new)
    assert f"Start the agent with {new}." in done.err
    assert "Warning" not in done.err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--to", "sqlite:///relative.db"), "--to: connection_string is not an absolute path"),
        (("--to", "mariadb://u@h/d"), "--to: type: mariadb is of the type mysql"),
        (("--to", "postgresql://h/d"), "--to: connection_string names no user"),
        (("--to", "/nowhere.yaml"), "/nowhere.yaml: cannot be read"),
        (("--to", "sqlite:////x.db", "--to-password-file", "x"), "--to: password_file and tls are"),
        (
            ("--to", f"mysql://u:{PASSWORD}@h/d", "--to-password-file", "x"),
            "--to: has a password in connection_string and password_file: choose one",
        ),
        (("--to", "x.yaml", "--to-ca-file", "x"), "--to: a configuration file says itself"),
    ],
)
def test_what_is_no_database(cli: Run, source: str, more: tuple[str, ...], said: str) -> None:
    """Each option is named, and no password is told."""
    done = cli("storage", "migrate", "--from", source, *more)
    assert done.code in {1, 64}
    assert said in done.err
    assert PASSWORD not in done.err
    assert done.err.count("\n") == 1


def test_one_database_twice(cli: Run, tmp_path: Path, source: str) -> None:
    """By one name, or by two."""
    link = tmp_path / "link.db"
    link.symlink_to(source.removeprefix("sqlite:///"))
    for to in (source, f"sqlite:///{link}"):
        done = cli("storage", "migrate", "--from", source, "--to", to)
        assert (done.code, done.err) == (64, "freehold: --from and --to are the same database\n")
    first, second = "mysql://a@localhost/x", f"mysql://b:{PASSWORD}@localhost:3306/x"
    assert cli("storage", "migrate", "--from", first, "--to", second).code == 64


@pytest.mark.parametrize(
    ("what", "code"),
    [("missing", 3), ("empty", 3), ("locked", 7), ("occupied", 5), ("unreachable", 6)],
)
def test_exit_codes(
    cli: Run, tmp_path: Path, source: str, target: str, what: str, code: int
) -> None:
    """One for each way in which it has to end, with one line."""
    other = SqliteBackend(f"sqlite:///{tmp_path}/other.db")
    if what != "missing":
        other.open()
    if what == "occupied":
        other.write(lambda _: WriteSet(inserts={SYSTEM: [SystemRow(name="x", value=b"")]}))
    if what != "locked":
        other.close()
    ends = {
        "missing": (f"sqlite:///{other.location}", target),
        "empty": (f"sqlite:///{other.location}", source),
        "locked": (source, f"sqlite:///{other.location}"),
        "occupied": (source, f"sqlite:///{other.location}"),
        "unreachable": (source, f"postgresql://u:{PASSWORD}@/d?socket={tmp_path}"),
    }[what]
    done = cli("storage", "migrate", "--from", ends[0], "--to", ends[1])
    other.close()
    assert done.code == code, done.err
    assert done.err.count("\n") == 1
    assert PASSWORD not in done.err
    assert not (tmp_path / "new").exists()


def test_files_that_an_agent_would_refuse(cli: Run, source: str, target: str) -> None:
    """Before anything is copied."""
    file = Path(target.removeprefix("sqlite:///"))
    file.parent.mkdir()
    file.touch(mode=0o644)
    done = cli("storage", "migrate", "--from", source, "--to", target)
    assert done.code == 1
    assert "chmod 600" in done.err
    assert file.read_bytes() == b""


def test_root_makes_no_files_of_its_own(
    cli: Run, monkeypatch: pytest.MonkeyPatch, source: str, target: str
) -> None:
    """The agent's user could not open them."""
    file = Path(source.removeprefix("sqlite:///"))
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(file, 12345, 12345)
    done = cli("storage", "migrate", "--from", source, "--to", target)
    assert done.code == 64
    assert "sudo -u" in done.err
