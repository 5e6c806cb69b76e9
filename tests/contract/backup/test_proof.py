"""A restore certificate says what was restored. If anything is wrong there is none, nor a trace."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pytest

from actors.world import SystemWorld
from protocols.instant import SECOND, parse_rfc3339
from tests.acceptance.workers.waiting import await_true
from tests.contract.backup.samples import CREATED, back_up, ignored
from tests.contract.store.samples import put, secret, version
from tests.support.databases import SERVERS, shared_server
from tests.support.sealed_vaults import fill_sealed, sealed_version
from tests.support.vaults import ROOT_KEY, Vault
from tools import backup_verify
from vault.backup.certificate import certificate_verifier, list_certificates, verify_certificate
from vault.backup.destinations.directory import LocalDirectory
from vault.backup.format import Manifest, encode_header, read_unverified_manifest, sign_manifest
from vault.backup.keys import VaultKeys, unwrap_file_key, wrap_file_key
from vault.backup.proof import (
    COMMAND,
    PREFIX,
    ProofLimits,
    find_following,
    prove_backup,
    remove_abandoned,
)
from vault.backup.reader import BackupReader, read_header
from vault.backup.writer import BackupWriter
from vault.crypto.backup_keys import Identity, new_file_key
from vault.errors import NotFoundError, TamperedError, UnavailableError, VaultError
from vault.store.tables import SECRETS, VERSIONS

VALUE: Final = b"a-value-that-nobody-may-find"
MADE: Final = 40


class Place(NamedTuple):
    """A vault in a file, its backup `full` in a folder, and where it is tested."""

    vault: Vault
    folder: Path
    work: Path
    manifest: Manifest

    @property
    def keys(self) -> VaultKeys:
        """The vault's."""
        return VaultKeys(self.vault.keyring)

    def prove(self, backup: str = "full", **more: Any) -> Any:
        """Test it; then nothing is left of the test."""
        try:
            return prove(self.vault, self.folder, self.work, backup, **more)
        finally:
            assert not list(self.work.glob("*"))

    def refused(self, backup: str = "full", **more: Any) -> VaultError:
        """Why there is no certificate."""
        with pytest.raises(VaultError) as caught:
            self.prove(backup, **more)
        assert not list(self.folder.glob("*.certificate"))
        return caught.value


def prove(vault: Vault, folder: Path, work: Path, backup: str, **more: Any) -> Any:
    """Test it."""
    return prove_backup(
        LocalDirectory(folder),
        backup,
        VaultKeys(vault.keyring),
        root_key=ROOT_KEY,
        name="here",
        work=work,
        world=SystemWorld(),
        progress=more.pop("progress", ignored),
        **more,
    )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """One with tokens, users, secrets and values."""
    vault = Vault(f"sqlite:///{tmp_path}/vault.db")
    with vault.opened():
        fill_sealed(vault, MADE, value=VALUE)
        manifest = back_up(vault, tmp_path / "b", "full")
    return Place(vault, tmp_path / "b", tmp_path / "work", manifest)


@pytest.mark.parametrize("kind", ["sqlite", *SERVERS])
def test_certificate(tmp_path: Path, kind: str) -> None:
    """Of each kind of database: a full backup and one that builds on it."""
    url = f"sqlite:///{tmp_path}/a.db" if kind == "sqlite" else shared_server(kind).empty()
    vault, folder, work = Vault(url), tmp_path / "b", tmp_path / "work"
    with vault.opened():
        fill_sealed(vault, MADE, value=VALUE)
        full = back_up(vault, folder, "full")
        vault.commit(
            put(SECRETS, secret("secret/new")),
            put(VERSIONS, sealed_version(vault, "id-secret/new", 1, VALUE)),
        )
        new = back_up(vault, folder, "next", full)
    keys = VaultKeys(vault.keyring)
    for manifest, secrets, chain in ((full, MADE, ()), (new, MADE + 1, (full.reference,))):
        signed = prove(vault, folder, work, manifest.id)
        found = signed.certificate
        assert signed.note == (folder / f"{manifest.id}.1.certificate").read_bytes()
        assert verify_certificate(signed.note, "vault-1", keys.backup.note.public) == found
        assert (found.backup, found.digest, found.chain) == (manifest.id, manifest.digest, chain)
        assert (found.depth, found.destination, found.created) == ("rows", "here", CREATED)
        assert (found.commits, found.schema) == (manifest.commits, manifest.schema)
        tables = {each.table: each.rows for each in found.tables}
        assert (tables["secrets"], tables["secret_versions"]) == (secrets, secrets)
        assert (found.versions, found.sampled) == (secrets, secrets)
        assert found.backup_root == found.store_root
        assert found.phases.restore > 0
        assert found.rto_ms is not None
        assert found.rto_ms >= found.phases.fetch + found.phases.restore + found.phases.open - 3
        assert {"limits"} <= set(found.sandbox)
        done = backup_verify.verify_certificate(
            folder / signed.name, verifier=certificate_verifier("vault-1", keys.backup)
        )
        assert done["rows"] == found.rows
        backup_verify.verify_certificate(folder / signed.name, root_key=ROOT_KEY)
    assert full.row_root == prove(vault, folder, work, "full").certificate.store_root
    names = [
        each.name
        for each in list_certificates(LocalDirectory(folder), "vault-1", keys.backup.note.public)[0]
    ]
    assert names == ["full.1.certificate", "next.1.certificate", "full.2.certificate"]
    assert not list(work.iterdir())


def test_sample(place: Place) -> None:
    """As many values as asked for, by a seed that is another each time."""
    limits = ProofLimits(sample=7)
    first, second = (place.prove(limits=limits).certificate for _ in range(2))
    assert (first.sampled, first.versions) == (7, MADE)
    assert first.seed != second.seed


def test_recovery_point(place: Place) -> None:
    """To the next backup; to the test for the newest; never less than nothing."""
    source, created = LocalDirectory(place.folder), parse_rfc3339(CREATED, "")
    with place.vault.opened():
        later = back_up(place.vault, place.folder, "later")
    assert find_following(source, "full", place.keys) is None  # made at the same time
    note = sign_manifest(
        msgspec.structs.replace(later, created="2027-01-15T09:00:00Z"), place.keys.backup
    )
    (place.folder / "later.manifest").write_bytes(note)
    following = find_following(source, "full", place.keys)
    assert following == created + 3600 * SECOND
    assert place.prove(following=following).certificate.rpo_ms == 3_600_000
    assert find_following(source, "later", place.keys) is None
    assert place.prove().certificate.rpo_ms == 0  # the clock is behind the backup


def test_for_recipients(place: Place) -> None:
    """Without an identity the certificate says that nothing was restored; with it all is."""
    identity, text = Identity.create()
    with place.vault.opened():
        back_up(place.vault, place.folder, "offline", recipients=[identity.recipient])
    found = place.prove("offline").certificate
    assert (found.depth, found.rto_ms, found.rows, found.store_root) == ("chunks", None, 0, "")
    (other, _), file = Identity.create(), place.folder / "offline.1.certificate"
    verifier = certificate_verifier("vault-1", place.keys.backup)
    assert backup_verify.verify_certificate(file, verifier=verifier)["depth"] == "chunks"
    found = place.prove("offline", identity=text).certificate
    assert (found.depth, found.sampled) == ("rows", MADE)
    assert other.recipient.text != identity.recipient.text


# What is wrong with the backup.


def rewrite(
    place: Place, choose: Callable[[bytes], bool], change: Callable[[bytes], bytes] = bytes
) -> None:
    """Seal and sign it again with other records, as somebody could who has the vault's keys."""
    path, note = place.folder / "full.backup", place.folder / "full.manifest"
    signed = read_unverified_manifest(note.read_bytes())
    with path.open("rb") as file:
        header, encoded = read_header(file, signed)
        file_key = unwrap_file_key(header, place.keys.backup, None)
        entries = BackupReader(file, signed, encoded, file_key).entries()
        records = [(each.table.name, change(each.record)) for each in entries]
    kept = [(table, record) for table, record in records if choose(record)]
    key = new_file_key()
    bare = msgspec.structs.replace(header, keys=())
    header = msgspec.structs.replace(bare, keys=wrap_file_key(bare, key, place.keys.backup, ()))
    parts: list[bytes] = []
    writer = BackupWriter(parts.append, encode_header(header), key)
    for _, record in kept:
        writer.add(record)
    content = writer.finish()
    counts = tuple(
        msgspec.structs.replace(each, rows=sum(table == each.table for table, _ in kept))
        for each in place.manifest.tables
    )
    manifest = msgspec.structs.replace(
        place.manifest,
        tables=tuple(each for each in counts if each.rows),
        **content._asdict(),
    )
    path.write_bytes(b"".join(parts))
    note.write_bytes(sign_manifest(manifest, place.keys.backup))


def is_of(table: str) -> Callable[[bytes], bool]:
    """Whether a record is of a table: MessagePack of its name comes first."""
    return lambda record: record[1:].startswith(msgspec.msgpack.encode(table))


def test_nothing_changed(place: Place) -> None:
    """A backup that is sealed again with all of its rows is proven: the other cases change it."""
    rewrite(place, lambda _: True)
    assert place.prove().certificate.store_root == place.manifest.row_root


@pytest.mark.parametrize("table", ["secrets", "secret_versions", "users", "tokens"])
def test_omitted_rows(place: Place, table: str) -> None:
    """One row, and a whole table, under a manifest that does not miss them."""
    is_one, seen = is_of(table), list[bytes]()

    def all_but_one(record: bytes) -> bool:
        if is_one(record) and not seen:
            seen.append(record)
            return False
        return True

    rewrite(place, all_but_one)
    assert place.refused().code == "storage_rows_changed"
    rewrite(place, lambda record: not is_one(record))
    assert place.refused().code == "storage_rows_changed"


def test_changed_row(place: Place) -> None:
    """Its MAC is another."""
    rewrite(
        place, lambda _: True, lambda record: record.replace(b"secret/000003", b"secret/zzzzz3")
    )
    assert isinstance(place.refused(), TamperedError)


def test_a_value_that_does_not_open(place: Place) -> None:
    """The row is the vault's, and so is its MAC; the value is sealed with no key of it."""
    with place.vault.opened():
        place.vault.commit(put(SECRETS, secret("bad")), put(VERSIONS, version("id-bad", 1)))
        back_up(place.vault, place.folder, "bad")
    assert place.refused("bad").code == "value_tampered"


def test_damaged_objects(place: Place) -> None:
    """A chunk, the end of the data, one byte more, the manifest of another backup, none."""
    data, manifest = place.folder / "full.backup", place.folder / "full.manifest"
    whole, note = data.read_bytes(), manifest.read_bytes()
    middle = len(whole) - 1000
    flipped = bytes([whole[middle] ^ 1])
    for changed in (whole[:middle] + flipped + whole[middle + 1 :], whole[:-1], whole + b"\0", b""):
        data.write_bytes(changed)
        assert place.refused().code == "backup_damaged"
    data.write_bytes(whole)
    with place.vault.opened():
        back_up(place.vault, place.folder, "other")
    manifest.write_bytes((place.folder / "other.manifest").read_bytes())
    assert place.refused().code == "backup_damaged"
    other = VaultKeys(Vault("sqlite:///unused.db").keyring).backup
    manifest.write_bytes(sign_manifest(read_unverified_manifest(note), other))
    assert place.refused().code == "backup_damaged"
    manifest.unlink()
    assert isinstance(place.refused(), NotFoundError)


def test_a_base_that_is_gone(place: Place) -> None:
    """What a backup builds on is part of it."""
    with place.vault.opened():
        back_up(place.vault, place.folder, "next", place.manifest)
    (place.folder / "full.manifest").unlink()
    assert place.refused("next").code == "backup_missing"


def test_wrong_root_key(place: Place) -> None:
    """It does not open the backup's keyring."""
    with pytest.raises(VaultError) as caught:
        prove_backup(
            LocalDirectory(place.folder), "full", place.keys, root_key=bytes(32), name="here",
            work=place.work, world=SystemWorld(), progress=ignored,
        )  # fmt: skip
    assert caught.value.code == "root_key_wrong"


# What is wrong with the process.


def script(text: str) -> tuple[str, ...]:
    """A process that runs this instead."""
    return (sys.executable, "-c", text)


def answering(**fields: Any) -> tuple[str, ...]:
    """A process that does its work, and changes the answer."""
    return script(
        "import json, os, subprocess, sys\n"
        f"done = subprocess.run({[*COMMAND]!r} + sys.argv[1:], stdin=0, stdout=-1, check=True)\n"
        "answer = json.loads(done.stdout)\n"
        f"answer['result'].update({fields!r})\n"
        "print(json.dumps(answer))\n"
    )


def limited(**limits: int) -> tuple[str, ...]:
    """A process with other limits than it was given."""
    return script(
        "import json, sys\n"
        f"limits = json.loads(sys.argv[1]) | {limits!r}\n"
        "sys.argv[1] = json.dumps(limits)\n"
        "from vault.backup.proof_child import main\n"
        "main()\n"
    )


FAILURE: Final = json.dumps({"failure": {"type": "x", "code": "x", "message": "y\x1b"}})


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (script("import os; os.kill(os.getpid(), 9)"), "signal 9"),
        (script("import os; os._exit(3)"), "status 3"),
        (script("import os; os._exit(77)"), "memory"),
        (script("pass"), "something else"),
        (script("print('garbage')"), "something else"),
        (script("print('{}')"), "something else"),
        (script("print('{\"result\": {\"rows\": \"many\"}}')"), "something else"),
        (script("print('x' * 10**6)"), "more than a result"),
        (script("while True: print('x' * 10**6)"), "more than a result"),
        (script(f"print({FAILURE!r})"), ": y."),
        (limited(file=50_000), "not finished"),
        (limited(memory=90 * 2**20), "memory"),
        (limited(files=8), "not finished"),
    ],
)  # fmt: skip
def test_process_that_fails(place: Place, command: tuple[str, ...], why: str) -> None:
    """A typed error says why; there is no certificate and nothing is left."""
    error = place.refused(limits=ProofLimits(command=command))
    assert isinstance(error, UnavailableError)
    assert error.code == "backup_proof_stopped"
    assert why in error.message
    assert "\x1b" not in error.message


def is_running(pid: int) -> bool:
    """Whether it is there, and not only its exit status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("ends", ["time.sleep(600)", "os.kill(os.getpid(), 19)", "os._exit(0)"])
def test_process_that_hangs(place: Place, ends: str) -> None:
    """It is ended after its time, with all that it has started; that may hold its output open."""
    pids = place.folder / "pids"
    command = script(
        "import os, subprocess, time\n"
        "other = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{other.pid}}')\n"
        f"{ends}\n"
    )
    error = place.refused(limits=ProofLimits(seconds=1.0, command=command))
    assert error.code == "backup_proof_stopped"
    assert "longer than 1 s" in error.message
    # What it has started is killed with it; the kernel may take a moment.
    await_true(lambda: not any(is_running(int(pid)) for pid in pids.read_text().split()))


def test_process_that_goes_on_without_output(place: Place) -> None:
    """It is ended when it has closed its output: nothing more can come."""
    command = script("import os, time; os.close(1); time.sleep(600)")
    error = place.refused(limits=ProofLimits(command=command))
    assert "signal 9" in error.message


@pytest.mark.parametrize(
    "fields",
    [
        {"store_root": "00" * 32},
        {"backup_root": "00" * 32, "store_root": "00" * 32},
        {"digests": []},
        {"digests": ["00" * 32]},
        {"rows": 1},
        {"sampled": 3},
        {"sampled": 0, "versions": 1},
        {"tables": []},
        {"tables": [{"table": "secrets", "rows": 91}]},
    ],
)
def test_process_that_lies(place: Place, fields: dict[str, Any]) -> None:
    """Its numbers are compared with the signed manifest's."""
    assert (
        place.refused(limits=ProofLimits(command=answering(**fields))).code == "backup_not_proven"
    )


def test_cancelled(place: Place) -> None:
    """What the progress raises ends the process at once."""

    class Stop(BaseException):
        pass

    ticks: list[int] = []

    @contextmanager
    def stopping(_what: str, _total: int | None) -> Iterator[Callable[[int], None]]:
        def tick(count: int) -> None:
            ticks.append(count)
            if len(ticks) > 2:
                raise Stop

        yield tick

    with pytest.raises(Stop):
        place.prove(
            progress=stopping, limits=ProofLimits(command=script("import time; time.sleep(600)"))
        )


def test_no_room(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for before anything is copied."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**6}))
    assert place.refused().code == "backup_proof_space"
    place.work.rmdir()
    place.work.write_bytes(b"")
    with pytest.raises(UnavailableError) as caught:
        prove(place.vault, place.folder, place.work, "full")
    assert caught.value.code == "backup_proof_space"


KILLED: Final = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
from tests.support.vaults import ROOT_KEY
from actors.world import SystemWorld
from vault.backup.destinations.directory import LocalDirectory
from vault.backup.keys import open_keyring
from vault.backup.proof import PREFIX, prove_backup
from vault.backup.restore import read_backup_header

folder, work = Path(sys.argv[1]), Path(sys.argv[2])

@contextmanager
def killing(_what, _total):
    def tick(_count):
        for found in work.glob(PREFIX + "*/restored.db*"):
            if found.stat().st_size > 1_000_000:
                print(Path(f"/proc/self/task/{os.getpid()}/children").read_text(), flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
    yield tick

source = LocalDirectory(folder)
prove_backup(
    source, "full", open_keyring(read_backup_header(source, "full"), ROOT_KEY), root_key=ROOT_KEY,
    name="here", work=work, world=SystemWorld(), progress=killing,
)
"""


def test_killed_agent(tmp_path: Path) -> None:
    """The process ends with it. What is left has no value and no key; the next test removes it."""
    vault, folder, work = Vault(f"sqlite:///{tmp_path}/v.db"), tmp_path / "b", tmp_path / "work"
    with vault.opened():
        fill_sealed(vault, 20_000, value=VALUE)
        back_up(vault, folder, "full")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), str(work)], check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    limit = time.monotonic() + 30
    while any(is_running(int(pid)) for pid in done.stdout.split()):
        assert time.monotonic() < limit
    (left,) = work.glob(f"{PREFIX}*")
    with closing(sqlite3.connect(left / "restored.db")) as database:
        ((restored,),) = database.execute("SELECT count(*) FROM secret_versions")
    assert restored < 20_000  # it was killed with its parent, and did not go on
    assert left.stat().st_mode & 0o777 == 0o700
    keyring = vault.keyring
    secrets = (
        VALUE, VALUE.hex().encode(), ROOT_KEY, ROOT_KEY.hex().encode(), keyring.backup,
        keyring.row_mac, keyring.pepper, keyring.cursor,
    )  # fmt: skip
    files = [path for path in left.rglob("*") if path.is_file()]
    assert {"restored.db", "full.backup"} <= {path.name for path in files}
    for path in files:
        data = path.read_bytes()
        assert not any(each in data for each in secrets), path
    assert any(b"secret/000001" in path.read_bytes() for path in files)  # a name is found, as in
    remove_abandoned(work)  # the agent's own database: the search works
    assert not list(work.iterdir())


def test_a_running_test_is_left_alone(place: Place) -> None:
    """By another one that clears up."""
    seen: list[int] = []

    @contextmanager
    def clearing(_what: str, _total: int | None) -> Iterator[Callable[[int], None]]:
        def tick(_count: int) -> None:
            remove_abandoned(place.work)
            seen.append(len(list(place.work.glob(f"{PREFIX}*"))))

        yield tick

    assert place.prove(progress=clearing)
    assert set(seen) == {1}


# The sandbox.

PROBE: Final = """
import json, os, socket, sys, threading
from pathlib import Path
from protocols import json_text
from vault.backup.proof_child import program_folders
from vault.backup.sandbox import Limits, confine

limits = json_text.decode(sys.argv[1], type=Limits)
found = confine(limits, Path.cwd(), program_folders())

def code(attempt):
    try:
        attempt()
    except OSError as error:
        return error.errno
    except MemoryError:
        return "memory"
    return 0

def fork():
    if os.fork() == 0:
        os._exit(0)

def write_large():
    descriptor = os.open("large", os.O_RDWR | os.O_CREAT)
    os.ftruncate(descriptor, limits.file + 1)

def thread():
    one = threading.Thread(target=lambda: None)
    one.start()
    one.join()

a, b = socket.socketpair()
outcomes = {
    "socket": code(lambda: socket.socket(socket.AF_INET)),
    "unix": code(lambda: socket.socket(socket.AF_UNIX)),
    "fork": code(fork),
    "exec": code(lambda: os.execv("/bin/true", ["true"])),
    "spawn": code(lambda: os.posix_spawn("/bin/true", ["true"], {})),
    "kill": code(lambda: os.kill(int(sys.argv[3]), 0)),
    "read": code(lambda: open(sys.argv[2]).read()),
    "write": code(lambda: open(sys.argv[2], "w")),
    "list": code(lambda: os.listdir("/")),
    "large": code(write_large),
    "memory": code(lambda: bytearray(limits.memory)),
    "own": code(lambda: open("own", "w").write("x")),
    "pair": code(lambda: a.send(b"x")),
    "thread": code(thread),
    "files": code(lambda: [os.dup(0) for _ in range(limits.files)]),
}
print(json.dumps([list(found), outcomes, os.nice(0)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp and Landlock are Linux's")
def test_sandbox(tmp_path: Path) -> None:
    """No network, no process, nothing outside the folder; what a restore needs works."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.write_text("x")
    limits = json.dumps({"cpu": 60, "memory": 2**30, "file": 10**6, "files": 64})
    done = subprocess.run(
        [sys.executable, "-c", PROBE, limits, str(outside), str(os.getpid())],
        cwd=inside, env={"PYTHONPATH": str(Path.cwd())}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, outcomes, nice = json.loads(done.stdout)
    assert found == ["limits", "landlock", "seccomp"]
    works = {"own": 0, "pair": 0, "thread": 0}
    refused = {
        "socket": 1, "unix": 1, "fork": 1, "exec": 1, "spawn": 1, "kill": 1, "read": 13,
        "write": 13, "list": 13, "large": 27, "memory": "memory", "files": 24,
    }  # fmt: skip
    assert outcomes == refused | works
    assert nice >= 10
    assert outside.read_text() == "x"
