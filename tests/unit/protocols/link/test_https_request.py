"""One bounded HTTP request, and its answer."""

import pytest
import trio
from trio.testing import memory_stream_pair

from protocols.link.errors import TransportError
from protocols.link_transport import https_request

ASKED = b"POST /link/v1/enrol HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"


async def test_a_request_is_read_whole():
    """However its bytes arrive."""
    ours, theirs = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        asked: list[https_request.HttpRequest] = []

        async def read() -> None:
            asked.append(await https_request.read_request(ours, b"der", "192.0.2.1"))

        nursery.start_soon(read)
        for byte in ASKED:
            await theirs.send_all(bytes([byte]))
    assert asked == [
        https_request.HttpRequest("POST", "/link/v1/enrol", b"der", "192.0.2.1", b"{}")
    ]


async def test_a_client_that_waits_for_leave_gets_it():
    """RFC 9110, 10.1.1."""
    ours, theirs = memory_stream_pair()
    head, body = ASKED.split(b"\r\n\r\n")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(https_request.read_request, ours, None, "")
        await theirs.send_all(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert await theirs.receive_some() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await theirs.send_all(body)


@pytest.mark.parametrize(
    "sent",
    [
        b"POST\0/x HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + b"a: b\r\n" * 10_000,
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99_999,
        ASKED[:-1],
    ],
    ids=["no HTTP", "no length", "endless head", "large body", "cut short"],
)
async def test_what_is_no_request_ends_the_connection(sent: bytes):
    """At a bounded cost, and with the peer at fault."""
    ours, theirs = memory_stream_pair()
    await theirs.send_all(sent)
    await theirs.aclose()
    with pytest.raises(TransportError, match="broken"):
        await https_request.read_request(ours, None, "")


async def test_an_answer_ends_the_connection():
    """With its length, so that the client knows that it is whole."""
    ours, theirs = memory_stream_pair()
    await https_request.write_response(
        ours, https_request.HttpResponse(202, [(b"x-request-id", b"r")], b"{}")
    )
    said = b""
    while more := await theirs.receive_some():
        said += more
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 202")
    assert {b"content-length: 2", b"connection: close", b"x-request-id: r"} <= set(
        head.lower().split(b"\r\n")
    )
    assert body == b"{}"


async def test_a_client_that_does_not_read_is_cut(autojump_clock: trio.testing.MockClock):
    """After a while, not never."""

    class Stuck(trio.abc.SendStream):
        async def send_all(self, data: bytes | bytearray | memoryview) -> None:  # noqa: ARG002
            await trio.sleep_forever()

        async def wait_send_all_might_not_block(self) -> None:
            await trio.sleep_forever()

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    with pytest.raises(TransportError, match="slow"):
        await https_request.write_response(Stuck(), https_request.HttpResponse(200, [], b""))
