import gzip
from typing import Any

import pytest

from ui.web.files import File
from ui.web.site import Site

SCRIPT = b"let a = 1;\n" * 100
HTML = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
FILES = {
    "/control.html": File("text/html; charset=utf-8", "no-store", b"<!doctype html>", b""),
    "/agent.html": File("text/html; charset=utf-8", "no-store", b"<!doctype agent>", b""),
    "/assets/a-1.js": File("text/javascript", "immutable", SCRIPT, gzip.compress(SCRIPT)),
}


class Answer:
    """What was sent."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def send(self, message: Any) -> None:
        """As the server's."""
        self.messages.append(message)

    @property
    def behind(self) -> bool:
        """Whether the application behind was asked."""
        return self.messages == ["behind"]

    @property
    def headers(self) -> dict[bytes, bytes]:
        """Of the answer."""
        return dict(self.messages[0]["headers"])

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(message.get("body", b"") for message in self.messages[1:])


async def ask(path: str, method: str = "GET", kind: str = "http", **headers: str) -> Answer:
    """One request to a site whose application behind only says that it was asked."""

    async def behind(_scope: Any, _receive: Any, send: Any) -> None:
        await send("behind")

    async def receive() -> Any:
        raise AssertionError("a page has no use for a body")

    answer = Answer()
    told = [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()]
    scope = {"type": kind, "method": method, "path": path, "headers": told}
    await Site(FILES, "/control.html", behind)(scope, receive, answer.send)
    return answer


@pytest.mark.parametrize("path", ["/", "/fleet", "/agents/one", "/agents/one.two", "/control.html"])
async def test_a_browser_that_opens_an_address_gets_the_page(path: str) -> None:
    """The page's script reads the address: a link to an agent can be sent to a colleague."""
    answer = await ask(path, accept=HTML)
    assert answer.body == b"<!doctype html>"
    assert answer.headers[b"cache-control"] == b"no-store"


@pytest.mark.parametrize(
    "path", ["/api/v1/organizations", "/api/", "/health/live", "/v1/sys/health", "/link/v1/enrol"]
)
async def test_what_programs_ask_is_never_a_page(path: str) -> None:
    """Not even for a browser: an error of the API has to be read as one."""
    assert (await ask(path, accept=HTML)).behind


@pytest.mark.parametrize(
    ("path", "method", "accept"),
    [
        ("/nothing", "GET", "application/json"),
        ("/nothing", "GET", ""),
        ("/fleet", "POST", HTML),
        ("/assets/a-0.js", "GET", HTML),
        ("/agent.html", "GET", "*/*"),
        ("/assets/../control.html", "GET", "*/*"),
    ],
)
async def test_the_rest_gets_the_typed_answer_of_the_api(
    path: str, method: str, accept: str
) -> None:
    """A script of another version is not answered by a page, which it could not run."""
    assert (await ask(path, method, accept=accept)).behind


async def test_other_connections_are_handed_on() -> None:
    """The live feed and the lifespan are no affair of files."""
    assert (await ask("/", kind="websocket", accept=HTML)).behind
    assert (await ask("/", kind="lifespan")).behind


async def test_no_answer_lets_a_page_do_more_than_it_needs() -> None:
    """No inline script or style, nothing of another origin, no frame, no guessing of types."""
    for answer in (await ask("/"), await ask("/assets/a-1.js")):
        policy = answer.headers[b"content-security-policy"].decode().split("; ")
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "trusted-types 'none'" in policy
        assert not any("unsafe" in rule or "http" in rule or "*" in rule for rule in policy)
        assert answer.headers[b"x-content-type-options"] == b"nosniff"
        assert answer.headers[b"referrer-policy"] == b"no-referrer"


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip; q=0.001", True),
        ("br", False),
        ("", False),
    ],
)
async def test_gzip_is_for_who_takes_it(*, accepted: str, packed: bool) -> None:
    """RFC 9110, section 12.5.3; caches in between are told."""
    answer = await ask("/assets/a-1.js", accept_encoding=accepted)
    assert (answer.headers.get(b"content-encoding") == b"gzip") == packed
    assert (gzip.decompress(answer.body) if packed else answer.body) == SCRIPT
    assert b"Accept-Encoding" in answer.headers[b"vary"]
    assert answer.headers[b"content-length"] == str(len(answer.body)).encode()


async def test_head_tells_the_length_and_sends_nothing() -> None:
    """As for GET, without the body."""
    answer = await ask("/assets/a-1.js", "HEAD")
    assert answer.body == b""
    assert answer.headers[b"content-length"] == str(len(SCRIPT)).encode()
