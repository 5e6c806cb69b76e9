"""Sign in by a browser on this machine: it brings the answer to a port that waits here (RFC 8252).

The browser goes through the control plane to the organization's identity provider and back, then to
127.0.0.1 with a code. That is worth nothing without the secret that never left this process (PKCE,
RFC 7636), so neither another program that took the port nor a page that sends a code of its own
signs anybody in.
"""

import socket
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from ui.cli.context import api_path
from ui.cli.errors import CliError, Exit
from ui.cli.output import print_note

if TYPE_CHECKING:
    import trio

WAIT_SECONDS: Final = 300.0  # seconds in all; as long as the control plane keeps the code
MAX_REQUESTS: Final = 32  # a browser also asks for an icon; something else may ask for anything
STALL_SECONDS: Final = 10.0  # seconds for one request with its answer, however slowly it comes
MAX_REASON: Final = 300  # characters of a reason that is shown
MAX_HEAD: Final = 64 * 1024  # bytes of a request: it may have cookies of others on this machine
DONE_PAGE: Final = b"<!doctype html><title>Freehold</title><p>You can close this page."


class LoopbackReceiver:
    """Waits for one answer. `verifier`: the secret, of which `challenge` tells."""

    def __init__(self, listener: socket.socket, verifier: str, challenge: str) -> None:
        self._listener = listener
        self.verifier = verifier
        self._challenge = challenge

    def authorization_url(self, control: str, organization: str) -> str:
        """Where the browser has to go."""
        query = {
            "organization": organization,
            "challenge": self._challenge,
            "port": self._listener.getsockname()[1],
        }
        return f"{control}{api_path('oidc', 'program')}?{urlencode(query)}"

    def wait_code(self, url: str) -> str:
        """What the browser brings, once it was sent there. Raises `CliError`."""
        import trio

        from control.crypto import short_fingerprint

        print_note(f"opening a browser; or open this yourself, on this machine:\n{url}")
        print_note(f"say yes there if it shows: {short_fingerprint(self._challenge)}")
        webbrowser.open(url)
        said = trio.run(_wait, self._listener, "/", ("code", "error"))
        if refused := _word(said.get("error", "")):
            raise CliError(f"the control plane refused: {refused}", Exit.DENIED)
        if "code" not in said:
            raise CliError("no browser came back: sign in anew", Exit.DENIED)
        return said["code"]


@contextmanager
def loopback() -> Iterator[LoopbackReceiver]:
    """Listen on a port of this machine for the length of the block. Raises `CliError`."""
    from control.crypto import new_bearer_secret, pkce_challenge

    verifier = new_bearer_secret("fhv")
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
        except OSError as error:
            raise CliError(f"cannot listen on 127.0.0.1: {error.strerror}") from None
        yield LoopbackReceiver(listener, verifier, pkce_challenge(verifier))


def receive_callback(
    listener: socket.socket, url: str, path: str, names: tuple[str, ...]
) -> dict[str, str]:
    """Open a browser at `url`; what it brings back to `path` under these names.

    Raises `CliError` where none comes back.
    """
    import trio

    print_note(f"opening a browser; or open this yourself, on this machine:\n{url}")
    webbrowser.open(url)
    said = trio.run(_wait, listener, path, names)
    if not said:
        raise CliError("no browser came back: log in anew", Exit.DENIED)
    return said


async def _wait(listener: socket.socket, path: str, names: tuple[str, ...]) -> dict[str, str]:
    """What the first request to `path` brings that brings something; nothing after `WAIT_SECONDS`.

    Each request is answered in its own task: one that stalls holds up no other.
    """
    import trio

    found: dict[str, str] = {}
    ours = trio.socket.from_stdlib_socket(listener.dup())
    with ours, trio.move_on_after(WAIT_SECONDS):
        async with trio.open_nursery() as nursery:

            async def attend(stream: trio.SocketStream) -> None:
                said = await _answer(stream, path, names)
                if said and not found:
                    found.update(said)
                    nursery.cancel_scope.cancel()

            for _ in range(MAX_REQUESTS):
                connection, _ = await ours.accept()
                nursery.start_soon(attend, trio.SocketStream(connection))
    return found


async def _answer(stream: "trio.SocketStream", path: str, names: tuple[str, ...]) -> dict[str, str]:
    """Answer one request: what it brings. The page says nothing of it, and there is no log."""
    import trio

    said: dict[str, str] = {}
    try:
        with trio.move_on_after(STALL_SECONDS):
            async with stream:
                said = _parse_callback(await _head(stream), path, names)
                status = "200 OK" if said else "404 Not Found"
                head = f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\n"
                head += f"Content-Length: {len(DONE_PAGE)}\r\nConnection: close\r\n\r\n"
                await stream.send_all(head.encode() + DONE_PAGE)
    except trio.BrokenResourceError:
        pass  # it left; what it brought counts
    return said


async def _head(stream: "trio.SocketStream") -> bytes:
    """Of a request, up to its empty line."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < MAX_HEAD:
        piece = await stream.receive_some()
        if not piece:
            break
        head += piece
    return head


def _parse_callback(head: bytes, path: str, names: tuple[str, ...]) -> dict[str, str]:
    """These names of `GET path?…`; nothing of any other request."""
    method, _, rest = head.partition(b"\r\n")[0].decode("ascii", "replace").partition(" ")
    try:
        place = urlsplit(rest.partition(" ")[0])
    except ValueError:
        return {}
    if method != "GET" or place.path != path:
        return {}
    said = parse_qs(place.query)
    return {name: said[name][0] for name in names if name in said}


def refusal_text(reason: str) -> str:
    """What a browser brought in place of a code, as a terminal may show it."""
    text = "".join(c for c in reason[:MAX_REASON] if c.isascii() and c.isprintable())
    return text or "the identity provider refused: see its page in the browser"


def _word(text: str) -> str:
    """An error's code, and nothing that a terminal would act on."""
    return "".join(c for c in text[:64] if c.isascii() and (c.isalnum() or c == "_"))
