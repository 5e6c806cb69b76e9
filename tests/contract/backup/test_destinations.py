"""What every destination promises, on real servers: an object is written once or not at all."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import obstore
import pytest
import trio

from actors import SystemWorld
from tests.contract.backup.samples import CREATED, NOW, fill, ignored
from tests.support.backup_places import PART, MakePlace, Place
from tests.support.databases import make_backend
from tests.support.vaults import ROOT_KEY, Vault, contents, require_whole
from tools.backup_verify import verify as verify_independently
from vault.backup.create import create_backup
from vault.backup.destinations.directory import LocalDirectory
from vault.backup.destinations.interface import ABANDONED, Destination
from vault.backup.destinations.parts import MAGIC
from vault.backup.keys import VaultKeys
from vault.backup.restore import list_backups, restore_backup, verify_backup
from vault.backup.threads import run_backup_work
from vault.errors import ConflictError, NotFoundError, UnavailableError
from vault.store.bulk import Progress
from vault.store.tables import SECRETS

MANY: Final = 1_100  # above the 1000 of a page of S3 and Google


def write(destination: Destination, name: str, data: bytes, piece: int = 10_000) -> None:
    """An object."""
    with destination.create(name) as put:
        for start in range(0, len(data), piece):
            put(data[start : start + piece])


def read(destination: Destination, name: str) -> bytes:
    """The object."""
    with destination.open(name) as file:
        return file.read()


def content(size: int) -> bytes:
    """No two parts of it are the same."""
    return b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(-(-size // 32)))[
        :size
    ]


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART, 5 * PART + 17])
def test_written_and_read(place: Place, size: int) -> None:
    """Of every size about that of a part; listed with its own size."""
    destination = place.open()
    write(destination, "a.backup", content(size))
    assert read(destination, "a.backup") == content(size)
    (found,) = destination.objects()
    assert (found.name, found.size) == ("a.backup", size)
    assert abs(found.modified - SystemWorld().wall()) < 600 * 10**9
    assert destination.names() == ["a.backup"]


def test_read_in_small_pieces(place: Place) -> None:
    """As a reader of backups does."""
    destination = place.open()
    data = b"line\n" + content(3 * PART)
    write(destination, "a.backup", data)
    with destination.open("a.backup") as file:
        assert file.readline(100) == b"line\n"
        found = b""
        while piece := file.read(1_000):
            found += piece
    assert found == data[5:]


def test_what_looks_like_an_index(place: Place) -> None:
    """An object that begins as an index does is no index."""
    destination = place.open()
    write(destination, "a.backup", MAGIC + b"{}\n")
    if place.kind in {"local", "sftp"}:  # nothing of ours writes such an object there
        with pytest.raises(UnavailableError):
            read(destination, "a.backup")
    else:
        assert read(destination, "a.backup") == MAGIC + b"{}\n"


def test_created_once(place: Place) -> None:
    """The first one stays, be the second one in parts or not."""
    destination = place.open()
    write(destination, "a.backup", b"first")
    before = place.everything()
    for data in (b"second", content(2 * PART)):
        with pytest.raises(ConflictError) as caught:
            write(destination, "a.backup", data)
        assert caught.value.code == "backup_exists"
    assert read(destination, "a.backup") == b"first"
    assert place.everything() == before


@pytest.mark.parametrize("size", [10, 3 * PART])
def test_two_writers(place: Place, size: int) -> None:
    """Both began while there was nothing: one of them wins, and nothing is left of the other."""
    first, second = place.open(), place.open()
    ours, theirs = b"1" * size, b"2" * size
    with pytest.raises(ConflictError) as caught, first.create("a.backup") as put:  # noqa: PT012
        put(ours[: size // 2])
        write(second, "a.backup", theirs)
        put(ours[size // 2 :])
    assert caught.value.code == "backup_exists"
    if place.kind == "local":  # the second one was refused at once, and ended the first one
        assert place.everything() == []
    else:
        assert read(first, "a.backup") == theirs
        assert len([each for each in place.everything() if "/0" in each]) in {0, 3}
        assert len(first.names()) == 1


def test_writers_at_the_same_moment(place: Place) -> None:
    """One of eight succeeds."""
    together = threading.Barrier(8)

    def race(number: int) -> bool:
        destination = place.open()
        together.wait(30)
        try:
            write(destination, "a.manifest", b"%d" % number)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(race, range(8)))
    assert won.count(True) == 1
    assert read(place.open(), "a.manifest") == b"%d" % won.index(True)
    assert place.everything() == ["a.manifest"]


@pytest.mark.parametrize("size", [10, 3 * PART])
def test_failure_leaves_nothing(place: Place, size: int) -> None:
    """Whatever the block raises."""
    destination = place.open()
    with pytest.raises(ZeroDivisionError), destination.create("a.backup") as put:  # noqa: PT012
        put(content(size))
        raise ZeroDivisionError
    assert place.everything() == []
    write(destination, "a.backup", b"later")
    assert read(destination, "a.backup") == b"later"


def test_what_is_not_there(place: Place) -> None:
    """An object of a folder that is there."""
    destination = place.open()
    write(destination, "a.backup", b"")
    with pytest.raises(NotFoundError) as caught:
        read(destination, "b.backup")
    assert caught.value.code == "backup_missing"


def test_removed(place: Place) -> None:
    """All of it; once more is no error."""
    destination = place.open()
    write(destination, "a.backup", content(3 * PART))
    write(destination, "b.backup", b"b")
    for _ in range(2):
        destination.remove("a.backup")
        assert place.everything() == ["b.backup"]
    write(destination, "a.backup", b"again")
    assert read(destination, "a.backup") == b"again"


def test_others_are_not_listed(place: Place) -> None:
    """Folders, and what begins with a point."""
    destination = place.open()
    write(destination, "a.backup", content(2 * PART))
    place.put(".hidden", b"")
    place.put("folder/c.backup", b"")
    assert "a.backup" in destination.names()
    assert not {".hidden", "c.backup", "folder/c.backup"} & set(destination.names())


def test_more_than_a_page(place: Place) -> None:
    """All are listed, in order."""
    names = [f"{number:05}.manifest" for number in range(MANY)]
    if place.kind in {"local", "sftp"}:
        for name in names:
            place.put(name, b"")
    else:
        store = place.store()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: obstore.put(store, name, b""), names))
    destination = place.open()
    write(destination, "a.backup", content(2 * PART))
    assert destination.names() == [*names, "a.backup"]


def test_several_parts_of_full_size(place: Place) -> None:
    """Twenty megabytes, as the agent writes them."""
    destination = place.open(part_size=8 * 2**20)
    block = content(2**20)
    with destination.create("big.backup") as put:
        for number in range(20):
            put(number.to_bytes(4) + block)
    digest = hashlib.sha256()
    with destination.open("big.backup") as file:
        while piece := file.read(65_552):
            digest.update(piece)
    wanted = hashlib.sha256(b"".join(number.to_bytes(4) + block for number in range(20)))
    assert digest.digest() == wanted.digest()


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure", "sftp"])
async def test_cancelled(make_place: MakePlace, kind: str) -> None:
    """The thread ends between two parts, and nothing is left."""
    place = make_place(kind)
    destination = place.open(world=SystemWorld())
    written = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def work(_: Progress) -> None:
        with destination.create("a.backup") as put:
            put(content(2 * PART))
            token.run_sync_soon(written.set)
            while True:
                put(b"more")

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            limiter = trio.CapacityLimiter(1)
            nursery.start_soon(run_backup_work, SystemWorld(), limiter, work, ignored)
            await written.wait()
            nursery.cancel_scope.cancel()
    assert place.everything() == []


class LaterWorld(SystemWorld):
    """The day after tomorrow."""

    def wall(self) -> int:
        """Unix nanoseconds."""
        return super().wall() + 2 * ABANDONED


def leave_half(place: Place) -> None:
    """As a process does that is killed while it writes."""
    if place.kind == "sftp":
        place.put(".dead.backup.1f.part", b"half")
    else:
        place.put(".parts/dead.backup/1f/000000", b"half")
        place.put(".parts/dead.backup/1f/000001", b"half")


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure", "sftp"])
def test_what_a_dead_process_left(make_place: MakePlace, kind: str) -> None:
    """It is no object. The next writer removes it a day later, and not before."""
    place = make_place(kind)
    leave_half(place)
    left = place.everything()
    write(place.open(world=SystemWorld()), "a.backup", content(2 * PART))
    assert place.open().names() == ["a.backup"]
    assert set(left) < set(place.everything())
    write(place.open(world=LaterWorld()), "b.backup", b"b")
    assert not set(left) & set(place.everything())
    assert read(place.open(), "a.backup") == content(2 * PART)


def test_a_copy_of_a_bucket(bucket: Place, tmp_path: Path) -> None:
    """Objects that were copied into a folder are the same there, parts and all."""
    write(bucket.open(), "a.backup", content(3 * PART + 5))
    store = bucket.store()
    for name in bucket.everything():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(obstore.get(store, name).bytes()))
    folder = LocalDirectory(tmp_path)
    assert read(folder, "a.backup") == content(3 * PART + 5)
    assert folder.names() == ["a.backup"]
    folder.remove("a.backup")
    assert [each.name for each in tmp_path.rglob("*")] == [".parts"]


def test_a_part_that_is_missing(bucket: Place) -> None:
    """The object ends there, or says so."""
    write(bucket.open(), "a.backup", content(3 * PART))
    part = next(name for name in bucket.everything() if name.endswith("000001"))
    obstore.delete(bucket.store(), part)
    with pytest.raises((UnavailableError, NotFoundError)):
        read(bucket.open(), "a.backup")


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """An open one in a file."""
    made = Vault(f"sqlite:///{tmp_path_factory.mktemp('vault')}/vault.db")
    with made.opened():
        fill(made)
        yield made


def test_a_backup_there_and_back(place: Place, vault: Vault, tmp_path: Path) -> None:
    """Created, listed, verified and restored, as the command line does it."""
    destination = place.open(part_size=4_096)
    keys = VaultKeys(vault.keyring)
    manifest = create_backup(
        vault.backend, destination, keys, backup="b1", created=CREATED, progress=ignored
    )
    if place.kind not in {"local", "sftp"}:
        assert len(place.everything()) > 4
        for name in place.everything():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(bytes(obstore.get(place.store(), name).bytes()))
        done = verify_independently(tmp_path / "b1.manifest", root_key=ROOT_KEY)
        assert done == f"signature, chunks, {manifest.records} records"
    assert list_backups(destination) == ([manifest], [])
    assert verify_backup(destination, "b1", keys, progress=ignored).manifest == manifest
    target = make_backend(f"sqlite:///{tmp_path}/new.db")
    restore_backup(
        destination,
        "b1",
        target,
        keys,
        root_key=ROOT_KEY,
        now=NOW,
        progress=ignored,
        keep_tokens=True,
    )
    target.open()
    try:
        require_whole(target, vault.keyring)
        assert contents(target)[SECRETS.name] == contents(vault.backend)[SECRETS.name]
    finally:
        target.close()
