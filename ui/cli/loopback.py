"""Sign in by a browser on this machine: it brings the answer to a port that waits here (RFC 8252).

The browser goes through the control plane to the organization's identity provider and back, then to
127.0.0.1 with a code. That is worth nothing without the secret that never left this process (PKCE,
RFC 7636), so neither another program that took the port nor a page that sends a code of its own
signs anybody in.
"""

import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from ui.cli.errors import CliError, Exit
from ui.cli.output import tell
from ui.cli.route import route

PATIENCE: Final = 300.0  # seconds; as long as the control plane keeps the code
MAX_REQUESTS: Final = 32  # a browser also asks for an icon; something else may ask for anything
STALLS: Final = 10.0  # seconds
DONE: Final = b"<!doctype html><title>Freehold</title><p>You can close this page."


class Loopback:
    """Waits for one answer. `verifier`: the secret, of which `challenge` tells."""

    def __init__(self, server: "_Server", verifier: str, challenge: str) -> None:
        self._server = server
        self.verifier = verifier
        self._challenge = challenge

    def address(self, control: str, organization: str) -> str:
        """Where the browser has to go."""
        query = {
            "organization": organization,
            "challenge": self._challenge,
            "port": self._server.server_port,
        }
        return f"{control}{route('oidc', 'program')}?{urlencode(query)}"

    def code(self, url: str) -> str:
        """What the browser brings, once it was sent there. Raises `CliError`."""
        tell(f"opening a browser; or open this yourself, on this machine:\n{url}")
        webbrowser.open(url)
        for _ in range(MAX_REQUESTS):
            self._server.handle_request()
            if self._server.refused:
                raise CliError(f"the control plane refused: {self._server.refused}", Exit.DENIED)
            if self._server.code or self._server.late:
                break
        if not self._server.code:
            raise CliError("no browser came back: sign in anew", Exit.DENIED)
        return self._server.code


@contextmanager
def loopback() -> Iterator[Loopback]:
    """Listen on a port of this machine for the length of the block. Raises `CliError`."""
    from control.crypto import challenge_of, mint

    try:
        server = _Server(("127.0.0.1", 0), _Handler)
    except OSError as error:
        raise CliError(f"cannot listen on 127.0.0.1: {error.strerror}") from None
    verifier = mint("fhv")
    with server:
        yield Loopback(server, verifier, challenge_of(verifier))


class _Server(HTTPServer):
    timeout = PATIENCE
    code = ""
    refused = ""
    late = False

    def handle_timeout(self) -> None:
        """Nobody came."""
        self.late = True


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = STALLS

    def do_GET(self) -> None:  # the base's name
        """Keep what was brought; the page says nothing of it."""
        place = urlsplit(self.path)
        said = parse_qs(place.query) if place.path == "/" else {}
        self.server.code = said.get("code", [""])[0]
        self.server.refused = _word(said.get("error", [""])[0])
        self.send_response(200 if said else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(DONE)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(DONE)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Its log would have the code."""


def _word(text: str) -> str:
    """An error's code, and nothing that a terminal would act on."""
    return "".join(c for c in text[:64] if c.isascii() and (c.isalnum() or c == "_"))
