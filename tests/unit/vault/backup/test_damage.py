"""Whatever is done to a backup, it is refused; by the program, and by the verifier without it."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.databases import make_backend
from tests.support.memory_destination import MemoryDestination
from tests.support.vaults import ROOT_KEY
from tests.unit.vault.backup.conftest import Made, ignored
from tools import backup_verify
from vault.backup.format import (
    MAGIC,
    MAX_RECORD,
    OLDEST_SCHEMA,
    Manifest,
    decode_header,
    encode_header,
    read_unverified_manifest,
    sign_manifest,
    verify_manifest,
)
from vault.backup.keys import VaultKeys, unwrap_file_key, wrap_file_key
from vault.backup.reader import BackupReader, encode_removal, read_header
from vault.backup.restore import (
    list_backups,
    read_backup_header,
    restore_backup,
    verify_backup,
    verify_outside,
)
from vault.backup.writer import LENGTH, BackupWriter, Content
from vault.crypto.backup_keys import Identity, new_file_key, stream_key
from vault.crypto.digest import sha256
from vault.crypto.stream import SEALED_CHUNK_SIZE, StreamSealer
from vault.errors import NotFoundError, TamperedError, UnavailableError, VaultError
from vault.store.bulk import encode_row
from vault.store.tables import SCHEMA_LEVEL, SECRETS, SYSTEM

EXAMPLES: Final = 500
MANY = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
DATA, MANIFEST = "full.backup", "full.manifest"


def verify(place: MemoryDestination, keys: VaultKeys, backup: str = "full") -> None:
    """All of it."""
    verify_backup(place, backup, keys, progress=ignored)


def verify_by_tool(folder: Path, objects: dict[str, bytes], backup: str = "full") -> str:
    """By the verifier that imports nothing of the program."""
    for name in (f"{backup}.backup", f"{backup}.manifest"):
        (folder / name).write_bytes(objects[name])
    return backup_verify.verify(folder / f"{backup}.manifest", root_key=ROOT_KEY)


def require_refused(made: Made, folder: Path, place: MemoryDestination) -> None:
    """By both."""
    with pytest.raises(TamperedError) as caught:
        verify(place, made.keys)
    assert caught.value.code == "backup_damaged"
    with pytest.raises((backup_verify.BadBackupError, KeyError, TypeError, ValueError)):
        verify_by_tool(folder, place.objects)


def refusal(place: MemoryDestination, keys: VaultKeys) -> str:
    """The code of the error; empty if it is not refused."""
    try:
        verify(place, keys)
    except TamperedError as error:
        return error.code
    return ""


def flip(data: bytes, bit: int) -> bytes:
    """The data with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_what_was_not_touched_is_whole(made: Made, tmp_path: Path) -> None:
    """By both, and a chain, and by a recipient."""
    for backup in ("full", "next", "again"):
        verify(made.place, made.keys, backup)
        records = made.manifests[backup].records
        done = verify_by_tool(tmp_path, made.place.objects, backup)
        assert done == f"signature, chunks, {records} records"
    assert made.manifests["full"].chunks > 2
    listed, faults = list_backups(made.place)
    assert [each.id for each in listed] == sorted(made.manifests)
    assert not faults


def test_a_damaged_one_is_listed_apart(made: Made) -> None:
    """It hides no other one."""
    torn = made.place.objects[MANIFEST][:100]
    place = made.changed(full__manifest=torn, extra__manifest=made.place.objects["next.manifest"])
    place.objects["no id.manifest"] = b""
    listed, faults = list_backups(place)
    assert [each.id for each in listed] == sorted(made.manifests.keys() - {"full"})
    assert [fault.message.partition(":")[0] for fault in faults] == [
        "extra.manifest", "full.manifest", "no id.manifest",
    ]  # fmt: skip


@MANY
@given(st.data())
def test_each_flipped_bit_of_the_data(made: Made, tmp_path: Path, data: st.DataObject) -> None:
    """Header and chunks."""
    whole = made.place.objects[DATA]
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    require_refused(made, tmp_path, made.changed(full__backup=flip(whole, bit)))


def test_each_flipped_bit_of_the_header(made: Made) -> None:
    """All of them: it says how to open what follows."""
    whole = made.place.objects[DATA]
    header = whole[: whole.index(b"\n", len(MAGIC)) + 1]
    manifest = made.manifests["full"]
    for bit in range(len(header) * 8):
        with pytest.raises(TamperedError):
            read_header(io.BytesIO(flip(header, bit)), manifest)


def test_each_flipped_bit_of_the_manifest(made: Made, tmp_path: Path) -> None:
    """All of them."""
    whole = made.place.objects[MANIFEST]
    place = made.place.objects
    for bit in range(len(whole) * 8):
        with pytest.raises(TamperedError):
            verify_manifest(flip(whole, bit), "vault-1", made.keys.backup)
    for bit in range(0, len(whole) * 8, 7):
        with pytest.raises((backup_verify.BadBackupError, KeyError, TypeError, ValueError)):
            verify_by_tool(tmp_path, place | {MANIFEST: flip(whole, bit)})


@MANY
@given(st.data())
def test_cut_short_or_longer(made: Made, tmp_path: Path, data: st.DataObject) -> None:
    """Anywhere; and bytes that follow."""
    whole = made.place.objects[DATA]
    if data.draw(st.booleans()):
        changed = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        changed = whole + data.draw(st.binary(min_size=1, max_size=100))
    require_refused(made, tmp_path, made.changed(full__backup=changed))


def chunks_of(data: bytes) -> tuple[bytes, list[bytes]]:
    """The header, and the sealed chunks."""
    start = data.index(b"\n", len(MAGIC)) + 1
    sealed = data[start:]
    places = range(0, len(sealed), SEALED_CHUNK_SIZE)
    return data[:start], [sealed[place : place + SEALED_CHUNK_SIZE] for place in places]


def rearranged(made: Made) -> Iterator[tuple[str, bytes]]:
    """The data with its chunks in other places."""
    header, chunks = chunks_of(made.place.objects[DATA])
    foreign, others = chunks_of(made.place.objects["again.backup"])
    for number in range(len(chunks)):
        yield f"cut at {number}", header + b"".join(chunks[:number])
        yield f"without {number}", header + b"".join(chunks[:number] + chunks[number + 1 :])
        twice = [*chunks[: number + 1], *chunks[number:]]
        yield f"{number} twice", header + b"".join(twice)
        exchanged = [*chunks]
        exchanged[number] = others[number]
        yield f"{number} of another", header + b"".join(exchanged)
        exchanged = [*chunks]
        exchanged[number], exchanged[0] = exchanged[0], exchanged[number]
        if number:
            yield f"{number} and the first", header + b"".join(exchanged)
    yield "the header of another", foreign + b"".join(chunks)
    yield "the chunks of another", header + b"".join(others)


def test_chunks_in_other_places(made: Made, tmp_path: Path) -> None:
    """Of the same backup or of another one of the same vault."""
    for _, changed in rearranged(made):
        require_refused(made, tmp_path, made.changed(full__backup=changed))


def test_exchanged_objects(made: Made, tmp_path: Path) -> None:
    """A manifest or data of another backup of the vault, of another vault, or by another name."""
    objects = made.place.objects
    require_refused(made, tmp_path, made.changed(full__manifest=objects["again.manifest"]))
    require_refused(made, tmp_path, made.changed(full__backup=objects["again.backup"]))
    require_refused(
        made,
        tmp_path,
        made.changed(
            full__manifest=objects["again.manifest"], full__backup=objects["again.backup"]
        ),
    )
    with pytest.raises(TamperedError):  # signed by another vault
        verify(made.place, made.keys, "other")
    other = read_unverified_manifest(objects["other.manifest"])
    claims = msgspec.structs.replace(other, vault="vault-1", id="full")
    forged = sign_manifest(claims, made.other_keys.backup)
    require_refused(made, tmp_path, made.changed(full__manifest=forged))


def test_a_base_that_is_another(made: Made) -> None:
    """What an incremental backup builds on is that one backup, and has to be there."""
    objects = {name: data for name, data in made.place.objects.items() if "full" not in name}
    with pytest.raises(NotFoundError) as caught:
        verify(MemoryDestination(objects), made.keys, "next")
    assert "next builds on full" in caught.value.message
    again = msgspec.structs.replace(made.manifests["full"], created="2027-01-15T09:00:00Z")
    note = sign_manifest(again, made.keys.backup)
    with pytest.raises(TamperedError) as refused:
        verify(made.changed(full__manifest=note), made.keys, "next")
    assert "builds on another backup" in refused.value.message


def test_for_a_recipient_alone(made: Made, tmp_path: Path) -> None:
    """Neither the vault's own keys nor another identity opens it; what is outside is verified."""
    other, _ = Identity.create()
    for identity in (None, other):
        with pytest.raises(UnavailableError) as caught:
            verify_backup(made.place, "offline", made.keys, identity=identity, progress=ignored)
        assert caught.value.code == "backup_identity_required"
    verified = verify_backup(
        made.place, "offline", made.keys, identity=made.identity, progress=ignored
    )
    assert verified.rows == made.manifests["offline"].records
    (manifest,) = verify_outside(made.place, "offline", made.keys)
    assert manifest == made.manifests["offline"]
    data = made.place.objects["offline.backup"]
    with pytest.raises(TamperedError):
        verify_outside(
            made.changed(offline__backup=flip(data, len(data) * 4)), "offline", made.keys
        )
    for name in ("offline.backup", "offline.manifest"):
        (tmp_path / name).write_bytes(made.place.objects[name])
    key = bytes.fromhex(made.identity_text.rpartition(":")[2])
    done = backup_verify.verify(tmp_path / "offline.manifest", identity=key)
    assert done == f"chunks, {manifest.records} records"


# Data whose maker has the vault's keys: what is inside is bounded and strict all the same.


def forge(
    made: Made, fill: Callable[[BackupWriter], object], **claims: object
) -> MemoryDestination:
    """A backup with these records, sealed and signed as a real one."""
    place = MemoryDestination()
    template = decode_header(chunks_of(made.place.objects[DATA])[0])
    file_key = new_file_key()
    bare = msgspec.structs.replace(template, keys=())
    header = msgspec.structs.replace(bare, keys=wrap_file_key(bare, file_key, made.keys.backup, ()))
    with place.create(DATA) as write:
        writer = BackupWriter(write, encode_header(header), file_key)
        fill(writer)
        content = writer.finish()
    manifest: Manifest = msgspec.structs.replace(
        made.manifests["full"], **{**content._asdict(), **claims}
    )
    place.objects[MANIFEST] = sign_manifest(manifest, made.keys.backup)
    return place


def records_of(made: Made) -> list[bytes]:
    """Of the full backup."""
    header, chunks = chunks_of(made.place.objects[DATA])
    source = io.BytesIO(made.place.objects[DATA])
    found, encoded = read_header(source, made.manifests["full"])
    assert encoded == header
    assert chunks
    file_key = made.keys.backup.unwrap(found.keys[0], b"org\nvault-1\nfull")
    reader = BackupReader(source, made.manifests["full"], encoded, file_key)
    return [entry.record for entry in reader.entries()]


def add_all(records: list[bytes]) -> Callable[[BackupWriter], object]:
    """Write them."""
    return lambda writer: [writer.add(record) for record in records]


def test_records_that_are_not_those_of_a_vault(made: Made, tmp_path: Path) -> None:
    """Out of order, twice, of no table, malformed, in another form, or fewer than are told."""
    whole = records_of(made)
    verify(forge(made, add_all(whole)), made.keys)
    wrong: dict[str, list[bytes]] = {
        "out of order": [whole[1], whole[0], *whole[2:]],
        "twice": [whole[0], *whole],
        "none": [],
        "fewer": whole[:-1],
        "no table": [*whole[:-1], msgspec.msgpack.encode(("changes", {"seq": 1}))],
        "no row": [*whole[:-1], msgspec.msgpack.encode((SYSTEM.name, {"name": 1}))],
        "no MessagePack": [*whole[:-1], b"\xc1"],
        "empty": [*whole[:-1], b""],
        "a key that is none": [*whole[:-1], encode_removal(SYSTEM, (1,))],
        "another form": [
            *whole[:-1],
            msgspec.msgpack.encode([SYSTEM.name, {"value": b"", "name": "zz"}]),
        ],
    }
    for what, records in wrong.items():
        assert refusal(forge(made, add_all(records)), made.keys) == "backup_damaged", what
    with pytest.raises(backup_verify.BadBackupError):
        verify_by_tool(tmp_path, forge(made, add_all(whole[:-1])).objects)


def test_rows_that_the_vault_did_not_write(made: Made) -> None:
    """One is changed, missing, or another: its MAC or the totals of the commit stamp tell."""
    whole = records_of(made)
    first = next(n for n, record in enumerate(whole) if record[2:].startswith(b"secrets"))
    row = SECRETS.unpack(
        bytes(msgspec.msgpack.decode(whole[first], type=tuple[str, msgspec.Raw])[1])
    )
    other = encode_row(SECRETS, msgspec.structs.replace(row, tags=["other"]))
    changed = [*whole[:first], other, *whole[first + 1 :]]
    with pytest.raises(TamperedError) as caught:
        verify(forge(made, add_all(changed)), made.keys)
    assert caught.value.code == "row_tampered"
    missing = [*whole[:first], *whole[first + 1 :]]
    counts = tuple(
        msgspec.structs.replace(each, rows=each.rows - (each.table == "secrets"))
        for each in made.manifests["full"].tables
    )
    with pytest.raises(TamperedError) as refused:
        verify(forge(made, add_all(missing), tables=counts), made.keys)
    assert refused.value.code == "storage_rows_changed"


def test_a_stamp_of_another_commit(made: Made) -> None:
    """The manifest says which commit the rows are of."""
    records = records_of(made)
    for claim in ({"commits": 1}, {"epoch": 9}, {"feed": "00" * 32}):
        with pytest.raises(TamperedError):
            verify(forge(made, add_all(records), **claim), made.keys)


def sealed(made: Made, frame: bytes, **claims: object) -> MemoryDestination:
    """A backup whose chunks hold these bytes, whatever they are."""
    template = decode_header(chunks_of(made.place.objects[DATA])[0])
    file_key = new_file_key()
    bare = msgspec.structs.replace(template, keys=())
    header = encode_header(
        msgspec.structs.replace(bare, keys=wrap_file_key(bare, file_key, made.keys.backup, ()))
    )
    hash_ = sha256(header)
    sealer = StreamSealer(stream_key(file_key, hash_), hash_)
    box = sealer.seal(frame, last=True)
    found = Content(
        hash_.hex(), len(header) + len(box), 1, sha256(b"\0" + box).hex(), 10, 1, "0" * 64
    )
    counts = (msgspec.structs.replace(made.manifests["full"].tables[0], rows=1, removed=0),)
    manifest = msgspec.structs.replace(
        made.manifests["full"], tables=counts, **{**found._asdict(), **claims}
    )
    note = sign_manifest(manifest, made.keys.backup)
    return MemoryDestination({DATA: header + box, MANIFEST: note})


def test_what_does_not_decompress_to_its_size(made: Made, tmp_path: Path) -> None:
    """A bomb, a long record, a cut frame, something behind it, a huge window, no frame at all."""
    compressor = zstandard.ZstdCompressor()
    record = encode_removal(SYSTEM, ("zz",))
    plain = LENGTH.pack(len(record)) + record
    frame, zeros = compressor.compress(plain), compressor.compress(bytes(2**28))
    assert len(zeros) < 65_536
    long = compressor.compress(LENGTH.pack(MAX_RECORD + 1) + bytes(64))
    wide = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=27)
    ).compressobj()
    contents = {
        "has more than its manifest says": (zeros, len(plain)),
        "has a record that is not a row": (zeros, 2**40),
        "has a record that is too long": (long, 2**40),
        "does not end where it should": (frame[:-1], len(plain)),
        "does not decompress": (wide.compress(plain) + wide.flush(), len(plain)),
        "has less than its manifest says": (frame, len(plain) + 1),
        "has other rows": (frame, len(plain)),
    }
    for what, (content, told) in contents.items():
        place = sealed(made, content, content=told)
        with pytest.raises(TamperedError, match=what):
            verify(place, made.keys)
        require_refused(made, tmp_path, place)
    behind = sealed(made, frame + b"more", content=len(plain))
    with pytest.raises(TamperedError, match="does not end where it should"):
        verify(behind, made.keys)
    require_refused(made, tmp_path, behind)
    none = sealed(made, b"\0" * 100, content=len(plain))
    with pytest.raises(TamperedError, match="does not decompress"):
        verify(none, made.keys)
    require_refused(made, tmp_path, none)


def test_more_than_the_manifest_says_is_refused(made: Made) -> None:
    """Reading stops there, and not at the end of whatever somebody has compressed."""
    place = forge(made, add_all(records_of(made)), content=1)
    manifest = read_unverified_manifest(place.objects[MANIFEST])
    source = io.BytesIO(place.objects[DATA])
    header, encoded = read_header(source, manifest)
    file_key = made.keys.backup.unwrap(header.keys[0], b"org\nvault-1\nfull")
    with pytest.raises(TamperedError, match="has more than its manifest says"):
        next(BackupReader(source, manifest, encoded, file_key).entries())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_no_manifest(data: bytes) -> None:
    """Nothing but a refusal comes of them."""
    with suppress(VaultError):
        read_unverified_manifest(data)
        pytest.fail("it was taken for a manifest")


@pytest.mark.parametrize(
    ("schema", "code"), [(SCHEMA_LEVEL + 1, "store_newer"), (OLDEST_SCHEMA - 1, "backup_outdated")]
)
def test_a_schema_that_is_not_known(made: Made, tmp_path: Path, schema: int, code: str) -> None:
    """Newer than this program, or too old: nothing is written."""
    place = forge(made, add_all(records_of(made)), schema=schema)
    with pytest.raises(VaultError) as caught:
        restore_backup(
            place,
            "full",
            make_backend(f"sqlite:///{tmp_path}/new.db"),
            made.keys,
            root_key=ROOT_KEY,
            now=1,
            progress=ignored,
        )
    assert caught.value.code == code
    assert not (tmp_path / "new.db").exists()


READ_WITH_LITTLE_MEMORY: Final = """
import io, os, pickle, resource, sys
from pathlib import Path

import msgspec
from tests.unit.vault.backup.conftest import ignored
from vault.backup.format import MAGIC, read_unverified_manifest
from vault.backup.reader import BackupReader, read_header
from vault.errors import VaultError

note, data, key = (Path(sys.argv[1], name).read_bytes() for name in ("note", "data", "key"))
manifest = read_unverified_manifest(note)
source = io.BytesIO(data)
_, header = read_header(source, manifest)
start = source.tell()
codes = []
for margin in range(0, 6 * 2**20, 2**18):
    pid = os.fork()
    if pid == 0:
        source.seek(start)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + margin, used + margin))
        code = 0
        try:
            for _ in BackupReader(source, manifest, header, key).entries():
                pass
        except MemoryError:
            code = 1
        except VaultError as error:
            code = 2 if error.code == "backup_memory" else 3
        os._exit(code)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(codes)
"""


def test_too_little_memory_is_not_damage(made: Made, root: Path, tmp_path: Path) -> None:
    """Whichever allocation fails; a backup that was not read is not called damaged."""
    (tmp_path / "note").write_bytes(made.place.objects[MANIFEST])
    (tmp_path / "data").write_bytes(made.place.objects[DATA])
    header = read_backup_header(made.place, "full")
    (tmp_path / "key").write_bytes(unwrap_file_key(header, made.keys.backup, None))
    done = subprocess.run(
        [sys.executable, "-c", READ_WITH_LITTLE_MEMORY, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        timeout=60,
    )
    codes = set(json.loads(done.stdout))
    assert 2 in codes, done.stdout
    assert codes <= {0, 1, 2}, done.stdout
