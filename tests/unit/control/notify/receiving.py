"""Real servers that get what we send: HTTP in a thread, SMTP by aiosmtpd in another."""

import hashlib
import hmac
import ssl
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

Headers = dict[str, str]
Answer = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, **headers: str) -> Answer:
    """Answer with this status."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"ok")

    return answer


def silence(handler: BaseHTTPRequestHandler) -> None:
    """No answer until the other side has gone."""
    handler.connection.settimeout(20)
    handler.connection.recv(1)


def endless(handler: BaseHTTPRequestHandler) -> None:
    """Taken, with a body that never ends."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"1000\r\n" + bytes(4096) + b"\r\n")
    except OSError:
        handler.close_connection = True


class Receiver:
    """Requests as they came; answers 200 unless `answers` says otherwise, one for each request."""

    def __init__(self, server: ThreadingHTTPServer, scheme: str) -> None:
        self.requests: list[tuple[str, Headers, bytes]] = []
        self.answers: list[Answer] = []
        self.port: int = server.server_address[1]
        self.scheme = scheme

    def url(self, host: str = "127.0.0.1") -> str:
        """Where it listens, by this name."""
        return f"{self.scheme}://{host}:{self.port}/hook?x=1"


@contextmanager
def receiver(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """An HTTP server on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            (made.answers.pop(0) if made.answers else status(200))(self)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that leaves is no news
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    made = Receiver(server, "http" if tls is None else "https")
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def is_genuine(key: str, headers: Headers, body: bytes) -> bool:
    """What a receiver does: Standard Webhooks 1.0 by hashlib's own HMAC, nothing of ours."""
    secret = b64decode(key.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = "v1," + b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return wanted in headers["webhook-signature"].split(" ")


class Mailbox:
    """What a mail server has taken. `refuse`: command → its reply; `hook` is called within DATA."""

    def __init__(self) -> None:
        self.mails: list[Envelope] = []
        self.refuse: dict[str, str] = {}
        self.hook: Callable[[SMTP], None] | None = None
        self.server: SMTP | None = None
        self.logins: list[bytes] = []
        self.port = 0

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, to: str, _options: list[str]
    ) -> str:
        """Take it, or not."""
        reply = self.refuse.get(f"RCPT {to}") or self.refuse.get("RCPT")
        if reply:
            return reply
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take it, or not."""
        if self.hook is not None:
            self.hook(server)
        if reply := self.refuse.get("DATA"):
            return reply
        self.mails.append(envelope)
        return "250 OK"

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any
    ) -> AuthResult:
        """The password is `sesame`."""
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login)
        return AuthResult(success=data.password == b"sesame", handled=False)


class AnyPort(Controller):
    """aiosmtpd's, on whichever port is free."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mailbox(tls: ssl.SSLContext | None = None, *, login: bool = False) -> Iterator[Mailbox]:
    """A mail server: with STARTTLS if it has a certificate, and only for who logs in if it says."""
    made = Mailbox()
    controller = AnyPort(
        made,
        hostname="127.0.0.1",
        port=0,
        tls_context=tls,
        require_starttls=tls is not None,
        authenticator=made.authenticate,
        auth_required=login,
    )
    controller.start()
    made.port = controller.port
    try:
        yield made
    finally:
        controller.stop()


def text_of(envelope: Envelope) -> str:
    """The plain text of a mail, as a client shows it."""
    mail = message_from_bytes(envelope.original_content or b"", policy=default)
    part = mail.get_body(("plain",))
    assert part is not None
    text: str = part.get_content()
    return text


def die(server: SMTP) -> None:
    """Break off, as a process does that is killed."""
    server.transport.abort()


def stall(server: SMTP) -> None:
    """Hold everything up for a while."""
    time.sleep(1)


class Authority:
    """Certificates for servers, and who trusts them."""

    def __init__(self) -> None:
        self.ca = trustme.CA()

    def server(self, *names: str) -> ssl.SSLContext:
        """Of a server with these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(context)
        return context

    def trust(self) -> ssl.SSLContext:
        """Of a client."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context
