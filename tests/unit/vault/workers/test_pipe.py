"""vault.workers.pipe: frames at a thread's end."""

import socket
from collections.abc import Iterator
from contextlib import closing
from threading import Thread

import msgspec
import pytest

from vault.workers.pipe import Pipe
from vault.workers.wire import LENGTH, MOST, Ends, Frame, OversizedError, framed


@pytest.fixture
def pair() -> Iterator[tuple[Pipe[Ends], socket.socket]]:
    """A pipe, and the other end."""
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with closing(one), closing(two):
        yield Pipe(one, Ends), two


def frame(number: int) -> bytes:
    """One of nothing."""
    return framed(msgspec.msgpack.encode(Ends(number, [])))


def numbers(messages: list[Ends]) -> list[int]:
    """Of messages."""
    return [message.number for message in messages]


def test_all_that_has_come_is_had_at_once(pair: tuple[Pipe[Ends], socket.socket]) -> None:
    """A frame that is there in part comes with the next."""
    pipe, other = pair
    other.sendall(frame(1) + frame(2) + frame(3)[:3])
    assert numbers(pipe.receive()) == [1, 2]
    other.sendall(frame(3)[3:] + frame(4))
    assert numbers(pipe.receive()) == [3, 4]
    for byte in frame(5):
        other.sendall(bytes([byte]))
    assert numbers(pipe.receive()) == [5]


def test_what_is_sent_is_frames_in_order(pair: tuple[Pipe[Ends], socket.socket]) -> None:
    """Also where the other end does not take all of it at once; of one over the bound nothing."""
    pipe, other = pair
    large = Frame(1, 0.0, [])
    sender = Thread(target=pipe.send, args=(large, Ends(2, []), b"0" * (1 << 22)))
    sender.start()
    got, whole = bytearray(), 1 << 22
    while len(got) < whole:
        got += other.recv(1 << 16)
    sender.join(5)
    first, second = frame(1), frame(2)
    assert got.startswith(framed(msgspec.msgpack.encode(large)) + second)
    assert len(first) == len(second)
    with pytest.raises(OversizedError):
        pipe.send(bytes(MOST))


def test_the_end_of_the_other_end(pair: tuple[Pipe[Ends], socket.socket]) -> None:
    """What has come before is had; what is sent then goes nowhere."""
    pipe, other = pair
    other.sendall(frame(1))
    other.close()
    assert numbers(pipe.receive()) == [1]
    assert pipe.receive() == []
    pipe.send(Ends(2, []))
    assert pipe.receive() == []


def test_whoever_waits_is_woken(pair: tuple[Pipe[Ends], socket.socket]) -> None:
    """For what will not come, and with what is not taken."""
    pipe, _ = pair
    ended: list[object] = []
    waiting = [
        Thread(target=lambda: ended.append(pipe.receive())),
        Thread(target=lambda: ended.append(pipe.send(b"0" * (1 << 24)))),
    ]
    for thread in waiting:
        thread.start()
        thread.join(0.05)
        assert thread.is_alive()
    pipe.shut()
    for thread in waiting:
        thread.join(5)
    assert sorted(map(str, ended)) == ["None", "[]"]
    pipe.shut()


def test_what_only_lies_there_is_not_had_any_more(pair: tuple[Pipe[Ends], socket.socket]) -> None:
    """Once this end is shut: it would be begun by whoever is about to leave."""
    pipe, other = pair
    other.sendall(frame(1))
    pipe.shut()
    assert pipe.receive() == []


@pytest.mark.parametrize("sent", [(1).to_bytes(LENGTH) + b"x", (MOST + 1).to_bytes(LENGTH)])
def test_what_is_no_message(pair: tuple[Pipe[Ends], socket.socket], sent: bytes) -> None:
    """Or would be too large to keep."""
    pipe, other = pair
    other.sendall(sent)
    with pytest.raises(ValueError, match=r"."):
        pipe.receive()
