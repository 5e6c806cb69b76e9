"""The line: canonical, on one line, and its commit mark can be taken off and checked."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.audit import record
from vault.audit.record import AuditEvent, AuditRecord, RecordContent
from vault.audit.testing import LOG_ID, make_event, make_keys

KEYS = make_keys()
PREV = bytes(range(32))
TIME = "2027-01-15T08:00:00.000000001Z"


def _entry(event: AuditEvent | None = None) -> RecordContent:
    return RecordContent(TIME, "event", record.encode_body(event or make_event()))


def test_the_exact_bytes() -> None:
    """Fields in this order, no spaces, defaults of the event left out: this is the format."""
    line = record.encode_record(_entry(make_event(request=None)), LOG_ID, 7, PREV)
    assert line.decode() == (
        '{"v":1,"seq":7,"time":"2027-01-15T08:00:00.000000001Z","log":"vault-1/node-1","kind":"event",'
        '"body":{"request_id":"request-0","phase":"outcome","operation":"secret.read",'
        '"path":"secret/app/db","capability":"read","actor_id":"user-1","actor_name":"alice",'
        '"method":"token","credential":"accessor-1","ip":"192.0.2.1","user_agent":"curl/8.0",'
        '"dialect":"native","result":"ok"},"prev":"' + PREV.hex() + '"}'
    )


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 2**63))
def test_a_record_is_one_line_and_comes_back(text: str, seq: int) -> None:
    """Whatever a caller puts into a field, it stays inside its record."""
    event = make_event(user_agent=text, path=text)
    line = record.encode_record(_entry(event), LOG_ID, seq, PREV)
    assert b"\n" not in line
    assert b"\r" not in line
    entry = record.decode_record(line)
    assert (entry.seq, entry.prev, entry.kind, entry.commit) == (seq, PREV.hex(), "event", "")
    assert entry.body["user_agent"] == entry.body["path"] == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_commit_mark_comes_off_again(text: str) -> None:
    """The line without its mark is the one that was marked, even if a value looks like a mark."""
    entry = _entry(make_event(code=text + '","commit":"' + "0" * 64 + '"}'))
    plain = record.encode_record(entry, LOG_ID, 1, PREV)
    marked = record.encode_committed(entry, LOG_ID, 1, PREV, KEYS)
    core, mark = record.split_commit(marked)
    assert core == plain
    assert mark.decode() == record.commit_mark(KEYS, PREV, plain)
    assert record.decode_record(marked).commit == mark.decode()
    assert msgspec.json.encode(record.decode_record(marked)) == marked
    assert record.split_commit(plain) == (plain, b"")


def test_a_commit_mark_is_of_one_place_and_key() -> None:
    """Another line, another predecessor or another key has another mark."""
    line = record.encode_record(_entry(), LOG_ID, 1, PREV)
    mark = record.commit_mark(KEYS, PREV, line)
    assert mark != record.commit_mark(KEYS, PREV, line + b" ")
    assert mark != record.commit_mark(KEYS, bytes(32), line)
    assert mark != record.commit_mark(make_keys(b"other"), PREV, line)


def _line(**changes: object) -> bytes:
    fields = msgspec.to_builtins(
        record.decode_record(record.encode_record(_entry(), LOG_ID, 1, PREV))
    )
    return msgspec.json.encode(fields | changes)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"", "not an audit record"),
        (b"{", "not an audit record"),
        (b"[]", "not an audit record"),
        (_line(v=2), "version 2"),
        (_line(seq="1"), "not an audit record"),
        (_line(kind="other"), "not an audit record"),
        (_line(extra=1), "not an audit record"),
        (b'{"body":' + b"[" * 100_000, "not an audit record"),
    ],
)
def test_what_is_not_a_record_is_refused(line: bytes, what: str) -> None:
    """Another shape, version, type or an unknown field is no record of this format."""
    with pytest.raises(ValueError, match=what):
        record.decode_record(line)


def test_a_body_has_the_shape_of_its_kind() -> None:
    """A checkpoint's body is one, or the record is refused."""
    entry = AuditRecord(1, 0, TIME, LOG_ID, "checkpoint", {"note": "n", "frontier": []}, "")
    body = record.decode_body(entry, record.CheckpointBody)
    assert body == record.CheckpointBody("n", [])
    with pytest.raises(ValueError, match="body of a checkpoint"):
        record.decode_body(entry, record.RetentionBody)
