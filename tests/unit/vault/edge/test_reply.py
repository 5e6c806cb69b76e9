"""Tests of answers on their way to the wire."""

from typing import Any

from vault.edge.reply import Reply, send_reply


async def sent(reply: Reply) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """What the server was given."""
    messages: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    await send_reply(send, reply)
    start, body = messages
    assert (start["type"], body["type"]) == ("http.response.start", "http.response.body")
    return start["status"], start["headers"], body["body"]


async def test_an_answer() -> None:
    """Labelled, and never kept by a cache; the server measures it."""
    status, headers, body = await sent(Reply(200, b"{}", headers=((b"x-a", b"1"),)))
    assert (status, body) == (200, b"{}")
    assert sorted(headers) == [
        (b"cache-control", b"no-store"),
        (b"content-type", b"application/json"),
        (b"x-a", b"1"),
        (b"x-content-type-options", b"nosniff"),
    ]


async def test_no_content() -> None:
    """RFC 9110, section 8.6: a 204 has no length, and RFC 9112 no body."""
    status, headers, body = await sent(Reply(204))
    assert (status, body) == (204, b"")
    assert [name for name, _ in headers] == [b"cache-control"]


def test_a_header_replaces_its_like() -> None:
    """One of each name; the others stay."""
    reply = Reply(200, headers=((b"a", b"1"), (b"b", b"2")))
    assert reply.with_header(b"a", "3").headers == ((b"b", b"2"), (b"a", b"3"))
    assert reply.headers == ((b"a", b"1"), (b"b", b"2"))
