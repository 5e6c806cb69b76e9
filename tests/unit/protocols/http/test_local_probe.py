import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

import pytest

from protocols.http.local_probe import ProbeAnswer, is_port_open, probe
from tests.support.certificates import Authority

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlive"


@contextmanager
def serving(answer: bytes, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a server that answers one connection."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            try:
                plain, _ = listener.accept()
                with closing(tls.wrap_socket(plain, server_side=True) if tls else plain) as wire:
                    wire.recv(4096)
                    wire.sendall(answer)
            except OSError:
                return

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(60)


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    """Of a server whose certificate nobody trusts, for another name."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(*Authority(tmp_path, "root").issue("other"))
    return found


def test_an_answer_over_plain_http() -> None:
    """With what it says."""
    with serving(OK) as port:
        assert probe("0.0.0.0", port, "/health/live", tls=False) == ProbeAnswer(200, b"live")


def test_an_answer_under_any_certificate(context: ssl.SSLContext) -> None:
    """One that has expired or is for another name is no reason to restart a server."""
    with serving(OK, context) as port:
        assert probe("127.0.0.1", port, "/", tls=True) == ProbeAnswer(200, b"live")


def test_a_server_that_asks_for_a_certificate_is_there(
    context: ssl.SSLContext, tmp_path: Path
) -> None:
    """It hangs up, after it has shown its own."""
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(tmp_path / "root.crt")
    with serving(OK, context) as port:
        assert probe("127.0.0.1", port, "/", tls=True) == ProbeAnswer(0)


def test_nobody_and_no_http_server_are_none() -> None:
    """Also one that speaks something else, or no TLS."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        assert probe("127.0.0.1", bound.getsockname()[1], "/", tls=False) is None
    with serving(b"220 mail.example.com ESMTP\r\n") as port:
        assert probe("127.0.0.1", port, "/", tls=False) is None
    with serving(OK) as port:
        assert probe("127.0.0.1", port, "/", tls=True) is None


def test_a_port_is_open_or_not() -> None:
    """A name without address is another matter."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        assert is_port_open("127.0.0.1", port)
    assert not is_port_open("127.0.0.1", port)
    with pytest.raises(socket.gaierror):
        is_port_open("no-such-host.invalid", 1)
