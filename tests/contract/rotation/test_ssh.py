"""SSH keys at a real sshd, which runs in a folder of the test's on a port of its own."""

import getpass
import logging
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncssh
import pytest

from vault.errors import ValidationError
from vault.rotation.rotator import RotationContext, RotationError, Rotator, Value
from vault.rotation.rotators import ssh

MakeContext = Callable[..., RotationContext]
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
FOREIGN = (
    b"# a comment \xff\xfe\r\n\n"
    b'from="10.0.0.0/8",command="/bin/true" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB other  x\n'
    b"not a key at all"
)
"""Other people's lines, the last of them without an end."""

pytestmark = pytest.mark.skipif(SSHD is None, reason="needs openssh-server")


class Sshd:
    """The server, its host key, and an administrator who logs in by a key."""

    def __init__(self, folder: Path) -> None:
        assert SSHD is not None
        self.folder = folder
        self.file = folder / "home" / "authorized_keys"
        self.file.parent.mkdir(mode=0o700)
        for name in ("host", "admin", "other"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True, timeout=20)
        (folder / "admin_keys").write_bytes((folder / "admin.pub").read_bytes())
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]
        config = folder / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {self.file} {folder}/admin_keys\nStrictModes no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n"
            "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
        )
        penalties = ["-o", "PerSourcePenalties=no"]  # OpenSSH 9.8: failed logins block an address
        if subprocess.run([SSHD, "-t", "-f", config, *penalties], check=False).returncode != 0:
            penalties = []
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd separates its privileges there
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", config, *penalties], stdout=self._log, stderr=self._log
        )
        while not self._listens():
            assert self._process.poll() is None, (folder / "log").read_text()
            threading.Event().wait(0.02)

    def _listens(self) -> bool:
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def connection(self) -> dict[str, str]:
        """What the agent reads from the connection's secret."""
        return {
            "host": "127.0.0.1",
            "port": str(self.port),
            "host_key": (self.folder / "host.pub").read_text(),
            "username": getpass.getuser(),
            "private_key": (self.folder / "admin").read_text(),
        }

    def make(self, **config: object) -> Rotator:
        """A rotator of the file."""
        settings = {"username": getpass.getuser(), "path": str(self.file), **config}
        return ssh.KIND.make(ssh.KIND.parse(settings))

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(60)
        self._log.close()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One for all tests."""
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _foreign_lines(sshd: Sshd) -> None:
    sshd.file.unlink(missing_ok=True)
    sshd.file.write_bytes(FOREIGN)
    sshd.file.chmod(0o640)


def refused(run: Callable[[], object]) -> RotationError:
    """The error that it raises."""
    with pytest.raises(RotationError) as caught:
        run()
    return caught.value


def created(sshd: Sshd, context: RotationContext) -> Value:
    """A pair whose line is in the file."""
    value = sshd.make().create(context, {})
    sshd.make().apply(context, value)
    return value


@pytest.mark.parametrize("algorithm", ["ed25519", "rsa"])
def test_a_rotation_from_one_key_to_the_next(
    algorithm: str, sshd: Sshd, make_context: MakeContext
) -> None:
    """Both log in until the old one is retired; every other line keeps its bytes."""
    rotator = sshd.make(algorithm=algorithm, options='no-pty,environment="A=b c"')
    first, second = (make_context(sshd.connection, rotation=f"r{n}") for n in (1, 2))
    old = rotator.create(first, {})
    assert refused(lambda: rotator.verify(first, old)).code == "ssh_login"
    rotator.apply(first, old)
    rotator.verify(first, old)
    new = rotator.create(second, old)
    rotator.apply(second, new)
    for value in (old, new):
        rotator.verify(second, value)
    rotator.retire(second, old)
    assert refused(lambda: rotator.verify(second, old)).code == "ssh_login"
    rotator.verify(second, new)
    line = f'no-pty,environment="A=b c" {new["public_key"]} freehold:r2\n'.encode()
    assert sshd.file.read_bytes() == FOREIGN + b"\n" + line
    found = sshd.file.stat()
    assert (found.st_mode & 0o777, found.st_uid) == (0o640, os.getuid())
    assert list(sshd.file.parent.iterdir()) == [sshd.file]


def test_each_step_can_be_repeated(sshd: Sshd, make_context: MakeContext) -> None:
    """After a crash: nothing is added twice, and what has been removed is no error."""
    context = make_context(sshd.connection)
    value = created(sshd, context)
    once = sshd.file.read_bytes()
    sshd.make().apply(context, value)
    assert sshd.file.read_bytes() == once
    for _ in range(2):
        sshd.make().retire(context, value)
        assert sshd.file.read_bytes() == FOREIGN + b"\n"


def test_a_part_of_a_step_that_died_is_no_obstacle(sshd: Sshd, make_context: MakeContext) -> None:
    """It is replaced, whatever it holds."""
    context = make_context(sshd.connection)
    part = sshd.file.parent / f".authorized_keys.{context.rotation}.part"
    part.write_text("half")
    value = created(sshd, context)
    sshd.make().verify(context, value)
    assert list(sshd.file.parent.iterdir()) == [sshd.file]


def test_the_file_is_made_if_it_is_missing(sshd: Sshd, make_context: MakeContext) -> None:
    """For its owner alone."""
    sshd.file.unlink()
    created(sshd, make_context(sshd.connection))
    assert sshd.file.stat().st_mode & 0o777 == 0o600


def test_a_symbolic_link_stays_one(sshd: Sshd, make_context: MakeContext) -> None:
    """What it leads to is changed."""
    real = sshd.folder / "real_keys"
    sshd.file.rename(real)
    sshd.file.symlink_to(real)
    created(sshd, make_context(sshd.connection))
    assert sshd.file.is_symlink()
    assert b"freehold:" in real.read_bytes()


@pytest.mark.skipif(os.getuid() != 0, reason="gives a file away")
def test_a_link_in_place_of_the_new_file_gives_nothing_away(
    sshd: Sshd, make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder's owner swaps it while an administrator writes it: another file stays as it is."""
    os.chown(sshd.file, 61950, 61950)
    sshd.file.chmod(0o644)
    victim = sshd.folder / "victim"
    victim.write_bytes(b"of root")
    victim.chmod(0o600)
    write = asyncssh.SFTPClientFile.write

    async def swap(file: asyncssh.SFTPClientFile, data: bytes) -> int:
        written = await write(file, data)
        (part,) = sshd.file.parent.glob(".*.part")
        part.unlink()
        part.symlink_to(victim)
        return written

    monkeypatch.setattr(asyncssh.SFTPClientFile, "write", swap)
    created(sshd, make_context(sshd.connection))
    found = victim.stat()
    assert (found.st_uid, found.st_mode & 0o777) == (0, 0o600)


@pytest.mark.skipif(os.getuid() != 0, reason="makes a link of somebody else")
def test_an_account_does_not_lead_an_administrator_to_another_file(
    sshd: Sshd, make_context: MakeContext
) -> None:
    """A link that the account has made leads to what is its own, or the step is refused."""
    victim = sshd.folder / "victim"
    victim.write_bytes(b"of root\n")
    sshd.file.unlink(missing_ok=True)
    sshd.file.symlink_to(victim)
    os.lchown(sshd.file, 61950, 61950)
    context = make_context(sshd.connection)
    rotator = sshd.make()
    value = rotator.create(context, {})
    with pytest.raises(RotationError, match="ssh_link"):
        rotator.apply(context, value)
    assert victim.read_bytes() == b"of root\n"
    os.chown(victim, 61950, 61950)
    rotator.apply(context, value)
    assert value["public_key"].encode() in victim.read_bytes()


def test_a_change_in_between_is_kept(
    sshd: Sshd, make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody adds a line after the file was read: it starts again and keeps it."""
    context = make_context(sshd.connection)
    rotator = sshd.make()
    value = rotator.create(context, {})
    added = list[int]()
    find = ssh._has

    def edit_meanwhile(line: bytes, blob: bytes) -> bool:
        if not added:
            added.append(1)
            with sshd.file.open("ab") as file:
                file.write(b"\nssh-ed25519 AAAA added meanwhile\n")
        return find(line, blob)

    monkeypatch.setattr(ssh, "_has", edit_meanwhile)
    rotator.apply(context, value)
    text = sshd.file.read_bytes()
    assert text.startswith(FOREIGN + b"\nssh-ed25519 AAAA added meanwhile\n")
    assert value["public_key"].encode() in text


def test_another_host_key_is_refused(sshd: Sshd, make_context: MakeContext, canary: str) -> None:
    """Nothing is sent to a host that is not the one that the connection names."""
    other = {**sshd.connection, "host_key": (sshd.folder / "other.pub").read_text()}
    value = sshd.make().create(make_context(), {})
    for step in ("apply", "verify", "retire"):
        error = refused(lambda: getattr(sshd.make(), step)(make_context(other), value))  # noqa: B023
        assert (error.code, error.is_final) == ("ssh_host_key", True)
    for broken in (canary, ""):
        context = make_context({**sshd.connection, "host_key": broken})
        error = refused(lambda: sshd.make().apply(context, value))  # noqa: B023
        assert error.is_final
        assert canary not in f"{error!r} {error.text}"
    assert sshd.file.read_bytes() == FOREIGN


def test_errors_hold_no_key(sshd: Sshd, make_context: MakeContext, canary: str) -> None:
    """What is no key, an account that is not there, a file that cannot be written."""
    value = sshd.make().create(make_context(), {})
    context = make_context(sshd.connection)
    for code, run in (
        ("ssh_private_key",
         lambda: sshd.make().verify(context, {**value, "private_key": canary})),
        ("ssh_public_key", lambda: sshd.make().apply(context, {**value, "public_key": canary})),
        ("ssh_login", lambda: sshd.make().verify(context, {**value, "username": canary})),
        ("ssh_login", lambda: sshd.make().apply(
            make_context({**sshd.connection, "username": canary}), value)),
        ("ssh_file", lambda: sshd.make(path="/proc/nothing/keys").apply(context, value)),
        ("ssh_port", lambda: sshd.make().apply(
            make_context({**sshd.connection, "port": "ssh"}), value)),
        ("value_field_missing", lambda: sshd.make().verify(context, {})),
        ("connection_field_missing", lambda: sshd.make().apply(
            make_context({**sshd.connection, "private_key": ""}), value)),
    ):  # fmt: skip
        error = refused(run)
        assert error.code == code
        for text in (canary, value["private_key"], sshd.connection["private_key"]):
            assert text not in f"{error!r} {error.text}"


def test_no_log_holds_a_key(
    sshd: Sshd, make_context: MakeContext, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at the level of debugging either."""
    caplog.set_level(logging.DEBUG)
    context = make_context(sshd.connection)
    value = created(sshd, context)
    sshd.make().verify(context, value)
    text = " ".join(f"{record.getMessage()} {record.args!r}" for record in caplog.records)
    for private in (value["private_key"], sshd.connection["private_key"]):
        assert not any(line in text for line in private.splitlines()[1:-1])


def test_a_host_that_is_silent_or_away(make_context: MakeContext, sshd: Sshd) -> None:
    """The step ends in its time."""
    value = sshd.make().create(make_context(), {})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection = {**sshd.connection, "port": str(silent.getsockname()[1])}
        context = make_context(connection, timeout=0.5)
        assert refused(lambda: sshd.make().apply(context, value)).code == "ssh_timeout"
    context = make_context(connection)
    assert refused(lambda: sshd.make().apply(context, value)).code == "ssh_unreachable"


@pytest.mark.parametrize(
    "config",
    [
        {"username": "a b"}, {"username": ""}, {"username": "a\n"}, {"bits": 2048},
        {"options": "no-pty\nssh-rsa AAAA"}, {"options": 'from="x'}, {"options": "a b"},
        {"options": "# x"}, {"algorithm": "dsa"}, {"path": "a\nb"}, {"more": 1},
    ],
)  # fmt: skip
def test_settings_that_could_write_another_line_are_refused(config: dict[str, object]) -> None:
    """When they are written."""
    with pytest.raises(ValidationError):
        ssh.KIND.parse({"username": "app", **config})
