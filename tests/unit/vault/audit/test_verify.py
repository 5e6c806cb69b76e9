"""The verifier: a good log passes, and whatever is done to one is found where it was done."""

import base64
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from vault.audit import record
from vault.audit.chain import Chain
from vault.audit.checkpoint import log_origin, sign_checkpoint
from vault.audit.head_file import read_head
from vault.audit.layout import LogLayout
from vault.audit.testing import LOG_ID, make_keys, make_pending_record, verify_log, write_log
from vault.audit.verify import BadLogError, LogVerifier
from vault.crypto.digest import sha256

KEYS = make_keys()
FILES = ("audit.log.00000001", "audit.log.00000002", "audit.log")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of about 200 records over three segments, with checkpoints in each."""
    folder = tmp_path_factory.mktemp("log")
    write_log(folder / "audit.log", 46, batch=4, rotation=45_000)
    assert [path.name for path in LogLayout(folder / "audit.log").segment_files()] == list(FILES)
    return folder


@pytest.fixture
def log(original: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    shutil.copytree(original, tmp_path / "copy")
    return tmp_path / "copy" / "audit.log"


def _lines_of(log: Path, name: str) -> list[bytes]:
    return (log.parent / name).read_bytes().split(b"\n")[:-1]


def _put(log: Path, name: str, lines: list[bytes]) -> None:
    (log.parent / name).write_bytes(b"".join(line + b"\n" for line in lines))


def _seq_of(line: bytes) -> int:
    seq = msgspec.json.decode(line)["seq"]
    assert isinstance(seq, int)
    return seq


def places(log: Path) -> list[tuple[str, int]]:
    """Lines of every file: the first three, some in the middle, the last three (file, index)."""
    found = []
    for name in FILES:
        count = len(_lines_of(log, name))
        found += [(name, i) for i in sorted({0, 1, 2, *range(3, count, 9), count - 2, count - 1})]
    return found


def _bad(log: Path) -> BadLogError:
    with pytest.raises(BadLogError) as caught:
        verify_log(log, KEYS)
    return caught.value


def _assert_at(fault: BadLogError, name: str, index: int, seq: int) -> None:
    assert (fault.file, fault.line, fault.seq) == (name, index + 1, seq), str(fault)


def test_a_good_log_passes(log: Path) -> None:
    """Size, root, segments, vault and key of an untouched log are those of its records."""
    chain = Chain(sha256)
    for name in FILES:
        for line in _lines_of(log, name):
            chain.extend(line)
    verdict = verify_log(log, KEYS, KEYS.public)
    assert verdict.size == chain.size > 190
    assert verdict.root == chain.tree.root().hex()
    assert (verdict.first, verdict.segments, verdict.origin) == (0, 3, log_origin(LOG_ID))
    assert verdict.public == KEYS.public


def test_another_key_is_noticed(log: Path) -> None:
    """A pinned key must be the one that signed the log."""
    with pytest.raises(BadLogError, match="not signed by the given key"):
        verify_log(log, KEYS, make_keys(b"other").public)


def edited(line: bytes, offset: int) -> bytes:
    """The line with one byte changed into another that may stand there."""
    old = line[offset : offset + 1]
    new = (
        b"1"
        if old in b"023456789abcdef"
        else b"0"
        if old == b"1"
        else b"x"
        if old != b"x"
        else b"y"
    )
    return line[:offset] + new + line[offset + 1 :]


@pytest.mark.parametrize("where", [0.02, 0.2, 0.45, 0.7, 0.93, 0.999])
def test_an_edited_byte_is_found(log: Path, where: float) -> None:
    """Whichever byte of whichever line is changed, that line is named."""
    for name, index in places(log):
        lines = _lines_of(log, name)
        original, seq = lines[index], _seq_of(lines[index])
        lines[index] = edited(original, int(len(original) * where))
        _put(log, name, lines)
        _assert_at(_bad(log), name, index, seq)
        lines[index] = original
        _put(log, name, lines)


def test_a_dropped_line_is_found(log: Path) -> None:
    """The place where a record is missing is named, and its number."""
    for name, index in places(log):
        lines = _lines_of(log, name)
        kept = lines[:index] + lines[index + 1 :]
        _put(log, name, kept)
        fault = _bad(log)
        last_of_closed = index == len(kept) and name != "audit.log"
        if last_of_closed:  # it is missed at the first line of the next file
            assert fault.line == 1
            assert fault.seq == _seq_of(lines[index])
        elif (name, index) == ("audit.log", 0) or index == 0:
            assert (fault.file, fault.line) == (name, 1)
        else:
            _assert_at(fault, name, index, _seq_of(lines[index]))
        _put(log, name, lines)


def test_swapped_lines_are_found(log: Path) -> None:
    """Of two lines that changed places, the first place is named."""
    for name, index in places(log):
        lines = _lines_of(log, name)
        if index + 1 == len(lines):
            continue
        swapped = list(lines)
        swapped[index], swapped[index + 1] = lines[index + 1], lines[index]
        _put(log, name, swapped)
        fault = _bad(log)
        assert (fault.file, fault.line) == (name, index + 1), str(fault)
        _put(log, name, lines)


def test_a_repeated_line_is_found(log: Path) -> None:
    """The second of two equal lines is named."""
    for name, index in places(log):
        lines = _lines_of(log, name)
        _put(log, name, [*lines[: index + 1], *lines[index:]])
        fault = _bad(log)
        assert (fault.file, fault.line) == (name, index + 2), str(fault)
        _put(log, name, lines)


def _forged(prev: bytes, seq: int) -> bytes:
    entry = record.RecordContent("2027-01-15T08:00:00Z", "event", make_pending_record(9_999).body)
    return record.encode_record(entry, LOG_ID, seq, prev)


def test_an_inserted_line_is_found(log: Path) -> None:
    """A forged record that continues the chain is named, not the genuine one behind it."""
    for name, index in places(log):
        if index == 0:
            continue
        lines = _lines_of(log, name)
        seq = _seq_of(lines[index])
        prev = bytes.fromhex(msgspec.json.decode(lines[index])["prev"])
        _put(log, name, [*lines[:index], _forged(prev, seq), *lines[index:]])
        _assert_at(_bad(log), name, index, seq)
        _put(log, name, lines)


def test_a_forged_end_is_found(log: Path) -> None:
    """A record that continues the chain behind the end is not covered by the signed head."""
    lines = _lines_of(log, "audit.log")
    last = msgspec.json.decode(lines[-1])
    head = sha256(bytes.fromhex(last["prev"]) + lines[-1])
    _put(log, "audit.log", [*lines, _forged(head, last["seq"] + 1)])
    _assert_at(_bad(log), "audit.log", len(lines), last["seq"] + 1)


def test_a_rebuilt_chain_is_found(log: Path) -> None:
    """Who alters a record and chains all later ones anew fails at the next signature."""
    lines = _lines_of(log, "audit.log")
    signed = [i for i, line in enumerate(lines) if b'"kind":"checkpoint"' in line]
    target = signed[0] + 2
    chain = Chain(sha256)
    for name in FILES[:-1]:
        for line in _lines_of(log, name):
            chain.extend(line)
    for i, line in enumerate(lines):
        fields = msgspec.json.decode(line, type=record.AuditRecord)
        if i == target:
            fields = msgspec.structs.replace(
                fields, body=msgspec.convert(fields.body, dict) | {"ip": "203.0.113.9"}
            )
        if i >= target:
            lines[i] = msgspec.json.encode(msgspec.structs.replace(fields, prev=chain.head.hex()))
        chain.extend(lines[i])
    _put(log, "audit.log", lines)
    fault = _bad(log)
    _assert_at(fault, "audit.log", signed[1], _seq_of(lines[signed[1]]))
    assert f"over {_seq_of(lines[signed[0]])} records" in fault.what


def test_a_truncated_log_is_found(log: Path) -> None:
    """A log cut at a line, or within one, is named where the first missing byte was."""
    lines = _lines_of(log, "audit.log")
    for count in (*range(len(lines) - 1, 0, -7), 1):
        _put(log, "audit.log", lines[:count])
        _assert_at(_bad(log), "audit.log", count, _seq_of(lines[count]))
        for keep in (1, 40, len(lines[count]) - 1, len(lines[count])):
            whole = b"".join(line + b"\n" for line in lines[:count])
            (log.parent / "audit.log").write_bytes(whole + lines[count][:keep])
            _assert_at(_bad(log), "audit.log", count, _seq_of(lines[count]))


def test_an_emptied_active_file_is_found(log: Path) -> None:
    """Neither an empty nor a missing active file passes."""
    seq = _seq_of(_lines_of(log, "audit.log")[0])
    _put(log, "audit.log", [])
    _assert_at(_bad(log), "audit.log", 0, seq)
    log.unlink()
    _assert_at(_bad(log), "audit.log", 0, seq)


@pytest.mark.parametrize("name", FILES[:2])
def test_a_dropped_segment_is_found(log: Path, name: str) -> None:
    """A missing segment is named, the first one too unless retention has recorded its end."""
    lines = _lines_of(log, name)
    (log.parent / name).unlink()
    fault = _bad(log)
    assert (fault.file, fault.line) == (name, 1)
    assert fault.seq in {_seq_of(lines[0]), _seq_of(lines[-1])}


def test_a_renamed_segment_is_found(log: Path) -> None:
    """A file under the name of another segment is refused."""
    first, second = (log.parent / name for name in FILES[:2])
    first.unlink()
    second.rename(first)
    assert _bad(log).file == FILES[0]


def test_a_log_without_records_is_refused(tmp_path: Path) -> None:
    """Nothing at all is not a good log."""
    assert _bad(tmp_path / "audit.log").seq == 0


def test_a_missing_head_is_found(log: Path) -> None:
    """Without a head file nobody knows where the log ends."""
    LogLayout(log).head_file.unlink()
    _assert_at(_bad(log), "audit.log.head", -1, -1)


@pytest.mark.parametrize("offset", [0, 5, 60, 120, 200, 250])
def test_a_spoilt_head_is_found(log: Path, offset: int) -> None:
    """With both slots altered there is no head; with the newer one alone the older betrays it."""
    data = bytearray(LogLayout(log).head_file.read_bytes())
    if offset > 3:  # the first bytes are the hint, which nothing depends on
        newer = 0 if b"\n" in data[:512] and _size(data, 0) > _size(data, 4096) else 4096
        data[newer + offset] ^= 1
        LogLayout(log).head_file.write_bytes(data)
        assert _bad(log).seq >= 0
    data[offset] ^= 0x80
    data[4096 + offset] ^= 0x80
    LogLayout(log).head_file.write_bytes(data)
    assert _bad(log).file in {"audit.log.head", "audit.log"}


def _size(data: bytearray, slot: int) -> int:
    return int(data[slot : slot + 512].split(b"\n")[2])


def test_a_head_of_before_is_found(original: Path, tmp_path: Path) -> None:
    """A genuine but older head file does not pass: the log has signatures that are younger."""
    log = tmp_path / "audit.log"
    write_log(log, 8)
    old = LogLayout(log).head_file.read_bytes()
    write_log(log, 8)
    verify_log(log, KEYS)
    LogLayout(log).head_file.write_bytes(old)
    assert _bad(log).file == "audit.log.head"


def test_a_head_of_another_vault_is_found(log: Path, tmp_path: Path) -> None:
    """A head by the same key for another log does not cover this one."""
    lines = _lines_of(log, "audit.log")
    _put(log, "audit.log", [lines[0].replace(b"vault-1", b"vault-2"), *lines[1:]])
    assert _bad(log).file == "audit.log"


def test_another_public_key_in_a_header_is_found(log: Path) -> None:
    """A later segment cannot bring its own key."""
    lines = _lines_of(log, "audit.log")
    old = base64.b64encode(KEYS.public)
    _put(log, "audit.log", [lines[0].replace(old, base64.b64encode(bytes(32))), *lines[1:]])
    _assert_at(_bad(log), "audit.log", 0, _seq_of(lines[0]))


def test_a_log_that_is_being_written_passes(tmp_path: Path) -> None:
    """A batch that arrives during the reading is no forgery: the head has moved on with it."""
    log = tmp_path / "audit.log"
    size = write_log(log, 3).size
    verifier = LogVerifier(LogLayout(log), KEYS, None)
    records = verifier.records()
    next(records)
    write_log(log, 3)
    with log.open("ab") as file:
        file.write(b'{"v":1')  # and another one is on its way
    assert len(list(records)) > size
    assert verifier.verdict().size == size
    chain = Chain(sha256)
    for line in _lines_of(log, "audit.log")[:size]:
        chain.extend(line)
    assert verifier.verdict().root == chain.tree.root().hex()


def test_half_a_line_without_a_writer_is_found(log: Path) -> None:
    """Something behind the head that nobody continues is named."""
    lines = _lines_of(log, "audit.log")
    with log.open("ab") as file:
        file.write(b'{"v":1')
    _assert_at(_bad(log), "audit.log", len(lines), _seq_of(lines[-1]) + 1)


def test_a_verdict_needs_a_reading(log: Path) -> None:
    """Nothing is said about a log that was not read."""
    with pytest.raises(ValueError, match="no record"):
        LogVerifier(LogLayout(log), KEYS, None).verdict()


def test_a_kept_checkpoint_is_held_against_the_log(original: Path, log: Path) -> None:
    """A log that was cut with its head set back, and one that was replaced by another of ours."""
    witness = read_head(LogLayout(original / "audit.log").head_file, KEYS, KEYS.public).note
    assert verify_log(log, KEYS, witness=witness).size > 0
    shorter = log.parent / "shorter" / "audit.log"
    shorter.parent.mkdir()
    write_log(shorter, 40, batch=4, rotation=45_000)
    verify_log(shorter, KEYS)
    with pytest.raises(BadLogError, match="the log ends here; the witness has seen"):
        verify_log(shorter, KEYS, witness=witness)
    write_log(shorter, 20, batch=3, rotation=45_000)
    verify_log(shorter, KEYS)
    with pytest.raises(BadLogError, match="the log was replaced"):
        verify_log(shorter, KEYS, witness=witness)


def test_a_kept_checkpoint_of_another_log_is_told(log: Path) -> None:
    """Of another key, or no checkpoint at all; an older one of this log is met on the way."""
    head = read_head(LogLayout(log).head_file, KEYS, KEYS.public)
    for witness in (sign_checkpoint(head.head, make_keys(b"other")), "nonsense"):
        with pytest.raises(BadLogError, match="the witness is not of this log"):
            verify_log(log, KEYS, witness=witness)
    other = sign_checkpoint(replace(head.head, origin=log_origin("vault-2/node-1")), KEYS)
    with pytest.raises(BadLogError, match="another log"):
        verify_log(log, KEYS, witness=other)


def test_a_segment_that_is_closed_meanwhile_is_read_on(log: Path) -> None:
    """The active file has another name when the reader comes to it, and its place is taken."""
    verifier = LogVerifier(LogLayout(log), KEYS, None)
    records = verifier.records()
    next(records)
    write_log(log, 60, batch=4, rotation=45_000)
    assert len(LogLayout(log).segment_files()) > len(FILES)
    for _ in records:
        pass
    assert verifier.verdict().size > 0
