"""One application on this server and on Hypercorn: the same answers, over both protocols."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx2
import hypercorn.trio
import pytest
import trio
from hypercorn.config import Config

from protocols.http import Limits, serve
from protocols.http.asgi import Receive, Scope, Send

OURS_ALONE = {"date", "server", "connection", "transfer-encoding"}
Body = bytes | Callable[[], AsyncIterator[bytes]] | None


async def read_all(receive: Receive) -> bytes:
    """The whole request body."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Do what the path says; by default show what was understood of the request."""
    assert scope["type"] == "http"
    body = await read_all(receive)
    answer = ANSWERS.get(scope["path"])
    if answer is not None:
        status, headers, pieces = answer
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for piece in pieces[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": pieces[-1]})
        return
    shown = [
        scope["method"],
        scope["path"],
        scope["query_string"],
        scope["raw_path"],
        scope["scheme"],
        scope["http_version"],
        len(body),
        hash(body),
        *[(name, value) for name, value in scope["headers"] if name.startswith(b"x-")],
    ]
    text = repr(shown).encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


ANSWERS: dict[str, tuple[int, list[tuple[bytes, bytes]], list[bytes]]] = {
    "/empty": (200, [(b"content-length", b"0")], [b""]),
    "/204": (204, [], [b""]),
    "/304": (304, [(b"etag", b'"1"')], [b""]),
    "/404": (404, [(b"content-length", b"2")], [b"no"]),
    "/418": (418, [(b"content-length", b"3")], [b"pot"]),
    "/473": (473, [(b"content-length", b"0")], [b""]),
    "/503": (503, [(b"retry-after", b"5"), (b"content-length", b"4")], [b"busy"]),
    "/large": (200, [(b"content-length", b"3000000")], [b"x" * 3_000_000]),
    "/pieces": (200, [], [b"one", b"", b"two" * 10_000, b"three"]),
    "/pieces-declared": (200, [(b"content-length", b"8")], [b"one", b"two", b"xx"]),
    "/pieces-end-empty": (200, [], [b"one", b""]),
    "/cookies": (
        200,
        [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"content-length", b"0")],
        [b""],
    ),
    "/binary-header": (200, [(b"x-bytes", b"caf\xc3\xa9"), (b"content-length", b"0")], [b""]),
}


@dataclass
class Call:
    """One request."""

    method: str
    path: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: Body = None


async def parts() -> AsyncIterator[bytes]:
    """A body of unknown length."""
    for number in range(5):
        yield b"%d" % number * 10_000


async def no_parts() -> AsyncIterator[bytes]:
    """A body of unknown length, and of none."""
    if False:
        yield b""


CALLS = [
    *[Call("GET", path) for path in ANSWERS],
    *[Call("HEAD", path) for path in ANSWERS if not path.startswith("/pieces")],
    *[Call("POST", path, body=b"ignored") for path in ("/404", "/204", "/pieces")],
    *[Call(method, "/") for method in ("GET", "OPTIONS", "DELETE", "PATCH", "PUT", "LIST")],
    Call("GET", "/a/b/c?x=1&y=%20z&x=2"),
    Call("GET", "/?"),
    Call("GET", "/?a=%26&b=%ff+"),
    Call("GET", "/per%20cent/%C3%A9/%2F/%25"),
    Call("GET", "/~user/(x)/a;b=c,d/@:!$&'*+="),
    Call("GET", "/a//b/../c/./"),
    Call("GET", "/" + "long/" * 500),
    Call("GET", "/", [("X-One", "1"), ("x-two", ""), ("X-One", "again")]),
    Call("GET", "/", [("X-Spaces", "a  b\tc")]),
    Call("GET", "/", [("X-Long", "v" * 8_000)]),
    Call("POST", "/", body=b""),
    Call("POST", "/", body=b"small"),
    Call("POST", "/", body=bytes(range(256)) * 10_000),
    Call("PUT", "/", body=parts),
    Call("PUT", "/", body=no_parts),
    Call("GET", "/", body=b"a body with GET"),
]


@pytest.fixture
async def addresses(nursery: trio.Nursery, certificates: Any) -> dict[str, str]:
    """Where each of the two servers listens."""
    run = partial(serve, app, host="127.0.0.1", port=0, tls=certificates.config(), limits=Limits())
    ours = await nursery.start(run)
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.certfile = str(certificates.folder / "cert.pem")
    config.keyfile = str(certificates.folder / "key.pem")
    config.accesslog = config.errorlog = None
    binds = await nursery.start(partial(hypercorn.trio.serve, with_lifespan, config, mode="asgi"))
    return {"ours": f"https://127.0.0.1:{ours.port}", "hypercorn": binds[0]}


async def with_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Hypercorn sends lifespan events, and has to be told so (it crashes if the app returns)."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await app(scope, receive, send)


@pytest.fixture
def clients(certificates: Any) -> Iterator[Callable[[bool], Awaitable[httpx2.AsyncClient]]]:
    """A client of one protocol."""

    def make(http2: bool) -> httpx2.AsyncClient:
        context = certificates.context(*(["h2"] if http2 else ["http/1.1"]))
        return httpx2.AsyncClient(http2=http2, http1=not http2, verify=context, timeout=10)

    return make  # type: ignore[return-value]  # closed by the test


async def told(client: httpx2.AsyncClient, base: str, call: Call) -> tuple[Any, ...]:
    """Status, version, headers that both should send, and body."""
    content = call.body if isinstance(call.body, bytes | None) else call.body()
    response = await client.request(
        call.method, base + call.path, headers=call.headers, content=content
    )
    headers = sorted((n, v) for n, v in response.headers.multi_items() if n not in OURS_ALONE)
    return response.status_code, response.http_version, headers, response.content


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
async def test_same_application_same_answers(
    addresses: dict[str, str], clients: Any, http2: bool
) -> None:
    """Status, headers (but for date, server and the connection's own) and body are equal."""
    differences = []
    async with clients(http2) as client:
        for call in CALLS:
            ours = await told(client, addresses["ours"], call)
            theirs = await told(client, addresses["hypercorn"], call)
            if ours != theirs:
                differences.append((call, ours[:3], ours[3][:300], theirs[:3], theirs[3][:300]))
    assert not differences
