"""The port of this machine where a browser brings the answer."""

from contextlib import suppress
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from control.crypto import challenge_of
from ui.cli import loopback as module
from ui.cli.errors import CliError
from ui.cli.loopback import Loopback, loopback

CONTROL = "https://control.example"


def asked(waiting: Loopback) -> dict[str, list[str]]:
    """What the browser is to ask for."""
    place = urlsplit(waiting.address(CONTROL, "acme"))
    assert (place.netloc, place.path) == ("control.example", "/api/v1/oidc/program")
    return parse_qs(place.query)


def brings(monkeypatch: pytest.MonkeyPatch, *paths: str) -> None:
    """A browser that asks for these paths once it is opened."""

    def run(port: str) -> None:
        with suppress(httpx2.HTTPError), httpx2.Client() as http:  # nobody listens any more
            for path in paths:
                http.get(f"http://127.0.0.1:{port}{path}")

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
        assert query["challenge"] == [challenge_of(waiting.verifier)]
        assert waiting.verifier not in str(query)
        assert waiting.code(waiting.address(CONTROL, "acme")) == "fhs_1"
        assert len(waiting.verifier) >= 43


def test_a_refusal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its code alone: nothing that a terminal would act on."""
    brings(monkeypatch, "/?error=oidc_no_account%1b%5b2J")
    with loopback() as waiting, pytest.raises(CliError, match=r"refused: oidc_no_account2J$"):
        waiting.code(waiting.address(CONTROL, "acme"))


def test_nobody_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait for ever."""
    brings(monkeypatch)
    monkeypatch.setattr(module._Server, "timeout", 0.1)
    with loopback() as waiting, pytest.raises(CliError, match="no browser came back"):
        waiting.code(waiting.address(CONTROL, "acme"))


def test_it_does_not_listen_to_ever_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever asks on and on is not the browser."""
    brings(monkeypatch, *(["/x"] * (module.MAX_REQUESTS + 1)))
    with loopback() as waiting, pytest.raises(CliError, match="no browser came back"):
        waiting.code(waiting.address(CONTROL, "acme"))


def test_its_port_is_of_this_machine_alone() -> None:
    """Nobody else on the network reaches it."""
    with loopback() as waiting:
        assert waiting._server.server_address[0] == "127.0.0.1"
        assert 1024 <= int(asked(waiting)["port"][0]) <= 65_535
