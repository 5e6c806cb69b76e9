"""The port of this machine where a browser brings the answer."""

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from control.crypto import pkce_challenge, short_fingerprint
from ui.cli import loopback as module
from ui.cli.errors import CliError
from ui.cli.loopback import MAX_REASON, LoopbackReceiver, loopback, refusal_text

CONTROL = "https://control.example"


def asked(waiting: LoopbackReceiver) -> dict[str, list[str]]:
    """What the browser is to ask for."""
    place = urlsplit(waiting.authorization_url(CONTROL, "acme"))
    assert (place.netloc, place.path) == ("control.example", "/api/v1/oidc/program")
    return parse_qs(place.query)


def brings(monkeypatch: pytest.MonkeyPatch, *paths: str) -> None:
    """A browser that asks for these paths once it is opened."""

    def run(port: str) -> None:
        with suppress(httpx2.HTTPError), httpx2.Client() as http:  # nobody listens any more
            for path in paths:
                http.get(f"http://127.0.0.1:{port}{path}")

    knocks(monkeypatch, run)


def knocks(monkeypatch: pytest.MonkeyPatch, run: Callable[[str], None]) -> None:
    """Once a browser is opened, `run` is given the port."""

    def opened(url: str) -> bool:
        port = parse_qs(urlsplit(url).query)["port"][0]
        Thread(target=run, args=(port,), daemon=True).start()
        return True

    monkeypatch.setattr(module.webbrowser, "open", opened)


def test_a_browser_brings_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it asks for before; the secret is not in what it was sent, only what tells of it."""
    brings(monkeypatch, "/favicon.ico", "/other?code=x", "/?code=fhs_1")
    with loopback() as waiting:
        query = asked(waiting)
        assert query["challenge"] == [pkce_challenge(waiting.verifier)]
        assert waiting.verifier not in str(query)
        assert waiting.wait_code(waiting.authorization_url(CONTROL, "acme")) == "fhs_1"
        assert len(waiting.verifier) >= 43


def test_what_to_compare_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page that asks has it too; it follows from the challenge."""
    brings(monkeypatch, "/?code=fhs_1")
    with loopback() as waiting:
        waiting.wait_code(waiting.authorization_url(CONTROL, "acme"))
        assert short_fingerprint(pkce_challenge(waiting.verifier)) in capsys.readouterr().err


def test_a_refusal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its code alone: nothing that a terminal would act on."""
    brings(monkeypatch, "/?error=oidc_no_account%1b%5b2J")
    with loopback() as waiting, pytest.raises(CliError, match=r"refused: oidc_no_account2J$"):
        waiting.wait_code(waiting.authorization_url(CONTROL, "acme"))


def test_nobody_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait for ever."""
    brings(monkeypatch)
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.1)
    with loopback() as waiting, pytest.raises(CliError, match="no browser came back"):
        waiting.wait_code(waiting.authorization_url(CONTROL, "acme"))


def test_who_knocks_again_and_again_does_not_make_it_wait_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time is for all requests together."""
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.6)

    def run(port: str) -> None:
        with suppress(httpx2.HTTPError), httpx2.Client() as http:
            for _ in range(500):
                http.get(f"http://127.0.0.1:{port}/x")
                time.sleep(0.2)

    knocks(monkeypatch, run)
    begun = time.monotonic()
    with loopback() as waiting, pytest.raises(CliError, match="no browser came back"):
        waiting.wait_code(waiting.authorization_url(CONTROL, "acme"))
    assert time.monotonic() - begun < 60  # and not the 100 that it is knocked for


def test_a_request_that_comes_drop_by_drop_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its time in all, and the browser comes behind it."""
    monkeypatch.setattr(module, "STALL_SECONDS", 0.4)

    def run(port: str) -> None:
        with socket.create_connection(("127.0.0.1", int(port))) as slow, suppress(OSError):
            Thread(target=bring, args=(port,), daemon=True).start()
            for _ in range(1000):
                slow.sendall(b"G")
                time.sleep(0.1)

    def bring(port: str) -> None:
        with suppress(httpx2.HTTPError):
            httpx2.get(f"http://127.0.0.1:{port}/?code=fhs_1")

    knocks(monkeypatch, run)
    begun = time.monotonic()
    with loopback() as waiting:
        assert waiting.wait_code(waiting.authorization_url(CONTROL, "acme")) == "fhs_1"
    assert time.monotonic() - begun < 60  # and not the 100 that the drops take


@pytest.mark.parametrize(
    "odd",
    [b"", b"\r\n\r\n", b"GET", b"GET //[x HTTP/1.1\r\n\r\n", b"POST /?code=x HTTP/1.1\r\n\r\n"],
)
def test_what_is_no_browser_brings_nothing(monkeypatch: pytest.MonkeyPatch, odd: bytes) -> None:
    """It is answered or left alone, and the browser is waited for."""

    def run(port: str) -> None:
        with socket.create_connection(("127.0.0.1", int(port))) as other, suppress(OSError):
            other.sendall(odd)
            other.shutdown(socket.SHUT_WR)
            other.recv(1)
        with suppress(httpx2.HTTPError):
            httpx2.get(f"http://127.0.0.1:{port}/?code=fhs_1")

    knocks(monkeypatch, run)
    with loopback() as waiting:
        assert waiting.wait_code(waiting.authorization_url(CONTROL, "acme")) == "fhs_1"


def test_it_does_not_listen_to_ever_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever asks on and on is not the browser."""
    brings(monkeypatch, *(["/x"] * (module.MAX_REQUESTS + 1)))
    with loopback() as waiting, pytest.raises(CliError, match="no browser came back"):
        waiting.wait_code(waiting.authorization_url(CONTROL, "acme"))


def test_its_port_is_of_this_machine_alone() -> None:
    """Nobody else on the network reaches it."""
    with loopback() as waiting:
        assert waiting._listener.getsockname()[0] == "127.0.0.1"
        assert 1024 <= int(asked(waiting)["port"][0]) <= 65_535


def test_what_a_browser_says_of_a_refusal() -> None:
    """Anything on this machine may say it: a terminal obeys none of it, and shows little."""
    assert (
        refusal_text("login refused: it was shown before") == "login refused: it was shown before"
    )
    assert refusal_text("\x1b[2Jnow\r\n\u202etype") == "[2Jnowtype"
    assert len(refusal_text("x" * 10_000)) == MAX_REASON
    assert "identity provider refused" in refusal_text("\n")
