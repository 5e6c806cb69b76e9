"""Canonical msgpack: one value, one spelling, and nothing but typed errors for the rest."""

import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.link import codec
from protocols.link import messages as m
from protocols.link.envelope import Envelope
from protocols.link.errors import Fault, LocalFaultError, RemoteFaultError
from protocols.link.messages import MESSAGE_SPECS, MessageType
from tests.unit.protocols.link.duet import alert, heartbeat, metrics

PING = b"\x81\xa6number\x07"


def refusal(data: bytes, shape: type[Any] = m.Ping) -> Fault:
    """Why these bytes are not decoded."""
    with pytest.raises(RemoteFaultError) as caught:
        codec.decode_struct(data, shape)
    return caught.value.fault


@pytest.mark.parametrize("message", [heartbeat(3), alert(9), metrics(2**63 - 1), m.Ack()])
def test_a_message_reads_back_as_it_was_written(message: m.Message):
    """Encoding and decoding are inverse."""
    payload = codec.encode_payload(message)
    assert codec.decode_payload(codec.message_type_of(message), payload) == message


def test_the_canonical_form_is_sorted_and_short():
    """The form that the spec describes, byte by byte."""
    assert codec.encode_struct(m.Ping(number=7)) == PING
    assert codec.encode_struct(m.Bye(reason="restart", spread=300)) == (  # type: ignore[arg-type]
        b"\x82\xa6reason\xa7restart\xa6spread\xcd\x01\x2c"
    )


@pytest.mark.parametrize(
    ("data", "fault"),
    {
        "a duplicate key, the same value": (b"\x82\xa6number\x07\xa6number\x07", "not_canonical"),
        "a duplicate key, last wins": (b"\x82\xa6number\x01\xa6number\x07", "not_canonical"),
        "a number longer than needed": (b"\x81\xa6number\xcc\x07", "not_canonical"),
        "a map longer than needed": (b"\xde\x00\x01\xa6number\x07", "not_canonical"),
        "a key longer than needed": (b"\x81\xd9\x06number\x07", "not_canonical"),
        "a float": (b"\x81\xa6number\xcb\x40\x1c\0\0\0\0\0\0", "malformed"),
        "a negative number": (b"\x81\xa6number\xff", "malformed"),
        "a number beyond 63 bits": (b"\x81\xa6number\xcf" + b"\xff" * 8, "malformed"),
        "a text for a number": (b"\x81\xa6number\xa17", "malformed"),
        "an unknown field": (b"\x82\xa6number\x07\xa1x\x07", "malformed"),
        "a missing field": (b"\x80", "malformed"),
        "nothing": (b"", "malformed"),
        "a byte more": (PING + b"\0", "malformed"),
        "a byte less": (PING[:-1], "malformed"),
        "an array": (b"\x91\x07", "malformed"),
        "nil": (b"\xc0", "malformed"),
        "an extension": (b"\xd4\x01\x00", "malformed"),
        "a key that is not UTF-8": (b"\x81\xa6numbe\xff\x07", "malformed"),
        "a map of 2^32 pairs": (b"\xdf\xff\xff\xff\xff" + PING[1:], "malformed"),
    }.values(),
)
def test_another_spelling_is_refused(data: bytes, fault: str):
    """There is one spelling of a value; each of these is another, or none."""
    assert refusal(data) == fault


@pytest.mark.parametrize("head", [b"\x91", b"\x81\xa1a", b"\xdd\xff\xff\xff\xff"])
def test_deep_nesting_is_refused(head: bytes):
    """Nesting down to the end of the largest frame is an error, not a crash."""
    deep = head * (200_000 // len(head))
    assert refusal(b"\x81\xa6number" + deep) == Fault.MALFORMED
    whole = codec.encode_struct(
        Envelope(
            version=1,
            timestamp=0,
            vault_id="prod",
            session=bytes(16),
            seq=0,
            ack=0,
            id=0,
            message_type=MessageType.PING,
            payload=msgspec.Raw(PING),
        )
    )
    assert refusal(whole.replace(PING, deep), Envelope) == Fault.MALFORMED


@pytest.mark.parametrize("shape", [m.Metrics, m.AuditCheckpoint, m.Hello, Envelope, m.PolicyUpdate])
def test_a_length_that_is_a_lie_allocates_nothing(shape: type[msgspec.Struct]):
    """Four bytes that promise 4 GiB cost no more than themselves."""
    names = [field.encode_name for field in msgspec.structs.fields(shape)]
    lies = [b"\xdd", b"\xdf", b"\xc6", b"\xdb"]
    tracemalloc.start()
    try:
        for name in names:
            for lie in lies:
                key = msgspec.msgpack.encode(name)
                refusal(b"\x81" + key + lie + b"\xff\xff\xff\xff" + b"\x01" * 100, shape)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


def test_what_is_refused_is_not_repeated():
    """The error of a malformed payload holds nothing of it: it could be a secret."""
    leak = msgspec.msgpack.encode({"reason": "hunter2-canary", "spread": 1, "hunter3": 2})
    with pytest.raises(RemoteFaultError) as caught:
        codec.decode_struct(leak, m.Bye)
    seen: BaseException | None = caught.value
    assert "hunter" not in str(seen)
    assert seen.__cause__ is None
    assert seen.__suppress_context__


@pytest.mark.parametrize(
    "message",
    [
        m.Ping(number=-1),
        m.Ping(number=2**63),
        m.Ping(number="7"),  # type: ignore[arg-type]
        m.Skipped(first=0, reason="dropped"),  # type: ignore[arg-type]
        msgspec.structs.replace(alert(), subject=b"a secret value, perhaps"),
        msgspec.structs.replace(heartbeat(), health="a secret"),
    ],
)
def test_what_a_peer_would_refuse_is_not_encoded(message: m.Message):
    """A field of the wrong type or size stops here, before outbox and wire."""
    with pytest.raises(LocalFaultError):
        codec.encode_payload(message)


@given(data=st.binary(max_size=300), name=st.sampled_from(sorted(MessageType)))
def test_random_bytes_meet_typed_errors_only(data: bytes, name: str):
    """Whatever comes, it is a message in its canonical form or a `RemoteFaultError`."""
    try:
        message = codec.decode_payload(MessageType(name), data)
    except RemoteFaultError:
        return
    assert codec.encode_struct(message) == data


@given(at=st.integers(0, 10_000), to=st.integers(0, 255), cut=st.booleans())
def test_altered_messages_meet_typed_errors_only(at: int, to: int, cut: bool):
    """A changed or cut message is another valid one in canonical form, or refused."""
    payload = codec.encode_payload(metrics(5))
    at %= len(payload)
    altered = payload[:at] if cut else payload[:at] + bytes([to]) + payload[at + 1 :]
    try:
        message = codec.decode_struct(altered, MESSAGE_SPECS[MessageType.METRICS].shape)
    except RemoteFaultError:
        return
    assert codec.encode_struct(message) == altered
