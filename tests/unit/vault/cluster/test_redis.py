"""vault.cluster.redis: RESP3 in pieces of any size, and nothing larger than its bound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.cluster.redis import MAX_REPLY, ErrorReply, Push, RedisError, Reply, ReplyParser

REPLIES: list[tuple[bytes, Reply]] = [
    (b"+PONG\r\n", b"PONG"),
    (b"-NOPERM no\r\n", ErrorReply("NOPERM no")),
    (b":-3\r\n", -3),
    (b"_\r\n", None),
    (b"#t\r\n", b"t"),
    (b",1.5\r\n", b"1.5"),
    (b"$0\r\n\r\n", b""),
    (b"$4\r\n\r\n\x00a\r\n", b"\r\n\x00a"),
    (b"$-1\r\n", None),
    (b"*2\r\n:1\r\n*0\r\n", [1, []]),
    (b"*-1\r\n", []),
    (b"%1\r\n+a\r\n%1\r\n+b\r\n:2\r\n", [b"a", [b"b", 2]]),
    (
        b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\n\x00\xff\r\n",
        Push([b"message", b"c", b"\x00\xff"]),
    ),
]


def parsed(parser: ReplyParser) -> list[Reply]:
    """All that is complete."""
    found = []
    while (reply := parser.next_reply()) is not None:
        found.append(reply[0])
    return found


@given(st.lists(st.sampled_from(REPLIES), max_size=6), st.integers(1, 9))
def test_replies_in_pieces(replies: list[tuple[bytes, Reply]], size: int) -> None:
    """However the bytes arrive; each reply of its own kind."""
    data, parser, found = b"".join(sent for sent, _ in replies), ReplyParser(), []
    for at in range(0, len(data), size):
        parser.feed(data[at : at + size])
        found += parsed(parser)
    assert [(type(one), one) for one in found] == [(type(one), one) for _, one in replies]


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x15\x03\x03\x00\x02\x02\x46\r\n",
        b"$x\r\n",
        b"*?\r\n",
        b"\r\n",
        b"%s%d\r\n" % (b"$", MAX_REPLY + 1),
        b"*1001\r\n",
        b"*1\r\n" * 20 + b":1\r\n",
    ],
)
def test_what_is_no_reply(data: bytes) -> None:
    """It is refused at once; nobody waits for the rest."""
    parser = ReplyParser()
    parser.feed(data)
    with pytest.raises(RedisError):
        parser.next_reply()


@pytest.mark.parametrize("start", [b"+", b"*2\r\n$100000\r\n", b"*900\r\n:1\r\n"])
def test_what_never_ends(start: bytes) -> None:
    """Nothing is kept beyond the bound."""
    parser = ReplyParser()
    parser.feed(start)
    for _ in range(MAX_REPLY // 1000):
        assert parser.next_reply() is None
        parser.feed(b"x" * 1000)
    parser.feed(b"x" * 1000)
    with pytest.raises(RedisError, match="too large"):
        parser.next_reply()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("WRONGPASS invalid username-password pair", "wrong user or password"),
        ("NOPERM this user has no permissions", "lacks a permission"),
        ("ERR unknown command 'hunter2'", "it answers ERR"),
        ("hunter2-is-no-code x", "it answers an error"),
    ],
)
def test_errors_say_what_to_do(text: str, says: str) -> None:
    """And repeat nothing but the code."""
    reason = ErrorReply(text).reason
    assert says in reason
    assert "hunter2" not in reason
