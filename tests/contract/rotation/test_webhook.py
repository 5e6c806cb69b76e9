"""Webhooks against a real HTTP server, which also misbehaves."""

import hashlib
import hmac
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from actors.world import SystemWorld
from vault.errors import SetupError, ValidationError
from vault.rotation.rotator import RotationContext, RotationError, Rotator
from vault.rotation.rotators import webhook

MakeContext = Callable[..., RotationContext]
KEY = "0123456789abcdef0123456789abcdef"


class Service:
    """A server that records requests and answers by `behave`."""

    def __init__(self) -> None:
        self.requests = list[tuple[str, dict[str, str], bytes]]()
        self.behave: Callable[[Any], None] = lambda handler: respond(handler, 200, b"{}")
        self.done = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.requests.append((self.path, dict(self.headers), body))
                service.behave(self)

            def log_message(self, *_args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_args: object) -> None:
                pass  # a client that hangs up is what some tests are about

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        """Stop it."""
        self.done.set()
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


def respond(handler: Any, status: int, body: bytes, **headers: str) -> None:
    """One whole answer."""
    handler.send_response(status)
    for name, text in headers.items():
        handler.send_header(name, text)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def service() -> Iterator[Service]:
    """On loopback, without TLS."""
    started = Service()
    yield started
    started.close()


def make(
    url: str, world: SystemWorld, origins: list[str] | None = None, **config: object
) -> Rotator:
    """A rotator for this URL, which is allowed unless `origins` says otherwise."""
    allowed = ["/".join(url.split("/")[:3])] if origins is None else origins
    kind = webhook.kind(allowed, world)
    return kind.make(kind.parse({"url": url, **config}))


def refused(run: Callable[[], object]) -> RotationError:
    """The error that it raises."""
    with pytest.raises(RotationError) as caught:
        run()
    return caught.value


def test_each_step_is_a_signed_post(
    service: Service, world: SystemWorld, make_context: MakeContext
) -> None:
    """A receiver can check who sent it, when, and that it was not changed."""
    url = f"http://127.0.0.1:{service.port}/rotate?app=1"
    rotator = make(url, world, settings={"role": "app"})
    context = make_context({"signing_key": KEY}, fence=9)
    for step in ("apply", "verify", "retire", "apply"):
        getattr(rotator, step)(context, {"password": "new"})
        path, headers, body = service.requests[-1]
        assert path == "/rotate?app=1"
        assert headers["Idempotency-Key"] == f"{context.rotation}:{step}"
        stamp = headers["Freehold-Timestamp"]
        assert abs(int(stamp) - time.time()) < 30
        message = f"{stamp}.{context.rotation}:{step}.".encode() + body
        expected = hmac.new(KEY.encode(), message, hashlib.sha256).hexdigest()
        assert headers["Freehold-Signature"] == f"v1={expected}"
        assert json.loads(body) == {
            "version": 1,
            "step": step,
            "rotation": context.rotation,
            "fence": 9,
            "settings": {"role": "app"},
            "value": {"password": "new"},
        }
        assert KEY.encode() not in body


def test_the_value_is_made_here_or_there(
    service: Service, world: SystemWorld, make_context: MakeContext
) -> None:
    """Here, no request is sent."""
    url = f"http://127.0.0.1:{service.port}/"
    context = make_context({"signing_key": KEY})
    made = make(url, world, generated={"length": 40}).create(context, {"username": "app"})
    assert (made["username"], len(made["password"]), service.requests) == ("app", 40, [])
    service.behave = lambda handler: respond(handler, 200, b'{"value": {"token": "t"}}')
    rotator = make(url, world, create="target")
    assert rotator.create(context, {"token": "old"}) == {"token": "t"}
    assert json.loads(service.requests[0][2])["previous"] == {"token": "old"}


@pytest.mark.parametrize(
    ("status", "code", "is_final"),
    [
        (301, "webhook_redirect", True), (307, "webhook_redirect", True),
        (400, "webhook_refused", True), (401, "webhook_refused", True),
        (409, "webhook_refused", False), (429, "webhook_refused", False),
        (500, "webhook_refused", False), (503, "webhook_refused", False),
        (201, "webhook_refused", False),
    ],
)  # fmt: skip
def test_every_other_status_is_an_error(
    status: int,
    code: str,
    is_final: bool,
    service: Service,
    world: SystemWorld,
    make_context: MakeContext,
    canary: str,
) -> None:
    """A redirect is not followed, and the body, which repeats the value, is in no error."""
    target = f"http://127.0.0.1:{service.port}/other"
    service.behave = lambda handler: respond(handler, status, canary.encode(), Location=target)
    rotator = make(f"http://127.0.0.1:{service.port}/", world)
    context = make_context({"signing_key": KEY})
    error = refused(lambda: rotator.apply(context, {"password": canary}))
    assert (error.code, error.is_final) == (code, is_final)
    assert canary not in f"{error!r} {error.text}"
    assert [path for path, _headers, _body in service.requests] == ["/"]


def test_faults_of_the_service(
    service: Service, world: SystemWorld, make_context: MakeContext, canary: str
) -> None:
    """Each within the step's time, none with a byte of the answer."""

    def drip(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not service.done.wait(0.1):
            handler.wfile.write(b"x")

    def close_early(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

    def endless(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while not service.done.is_set():
            handler.wfile.write(b"x" * 65536)

    faults: list[tuple[Callable[[Any], None], str]] = [
        (drip, "webhook_timeout"),
        (lambda _handler: service.done.wait(30) and None, "webhook_timeout"),
        (close_early, "webhook_protocol"),
        (endless, "webhook_answer"),
        (lambda handler: handler.wfile.write(b"SSH-2.0-x\r\n\r\n"), "webhook_protocol"),
        (lambda handler: handler.wfile.write(b"x" * 65536), "webhook_protocol"),
        (lambda handler: respond(handler, 200, canary.encode()), "webhook_answer"),
        (lambda handler: respond(handler, 200, b'{"value": {"a": "b"}}'), "webhook_answer"),
        (lambda handler: respond(handler, 200, b'{"other": 1}'), "webhook_answer"),
    ]
    rotator = make(f"http://127.0.0.1:{service.port}/", world)
    for behave, code in faults:
        service.behave = behave
        begun = time.monotonic()
        timeout = 1.0 if code == "webhook_timeout" else 20.0
        context = make_context({"signing_key": KEY}, timeout=timeout)
        error = refused(lambda: rotator.apply(context, {"password": canary}))  # noqa: B023
        assert error.code == code
        assert canary not in f"{error!r} {error.text}"
        assert time.monotonic() - begun < 25  # a mute service is left after 30


def test_only_the_local_configurations_origins_are_contacted(
    service: Service, world: SystemWorld, make_context: MakeContext
) -> None:
    """Scheme, host and port have to be the same."""
    url = f"http://127.0.0.1:{service.port}/x"
    context = make_context({"signing_key": KEY})
    for origins in ([], ["https://rotator.example"], [f"http://127.0.0.1:{service.port + 1}"]):
        error = refused(lambda: make(url, world, origins).apply(context, {}))  # noqa: B023
        assert (error.code, error.is_final) == ("webhook_not_allowed", True)
    assert service.requests == []


def test_a_name_that_leads_to_this_machine_is_refused(
    world: SystemWorld, make_context: MakeContext
) -> None:
    """As one that leads to a metadata service; loopback is named by its number."""
    rotator = make("https://localhost:1/", world)
    assert refused(lambda: rotator.apply(make_context({"signing_key": KEY}), {})).code == (
        "webhook_address"
    )
    metadata = make("https://169.254.169.254/", world)
    assert refused(lambda: metadata.apply(make_context({"signing_key": KEY}), {})).code == (
        "webhook_address"
    )


def test_tls_is_verified(
    service: Service, tmp_path: Path, world: SystemWorld, make_context: MakeContext
) -> None:
    """By the connection's authority, for the host of the URL."""
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    service.server.socket = context.wrap_socket(service.server.socket, server_side=True)
    rotator = make(f"https://127.0.0.1:{service.port}/", world)

    def apply(ca: str) -> None:
        rotator.apply(make_context({"signing_key": KEY, "ca": ca}), {"password": "new"})

    for wrong in (stranger.cert_pem.bytes().decode(), "", "no certificate"):
        assert refused(lambda: apply(wrong)).code == "webhook_tls"  # noqa: B023
    assert service.requests == []
    apply(authority.cert_pem.bytes().decode())
    assert len(service.requests) == 1


def test_what_the_connection_lacks_is_named(world: SystemWorld, make_context: MakeContext) -> None:
    """No request without a signature, and none with a short key."""
    rotator = make("https://rotator.example/", world)
    assert refused(lambda: rotator.apply(make_context(), {})).code == "connection_field_missing"
    short = make_context({"signing_key": "short"})
    assert refused(lambda: rotator.apply(short, {})).code == "webhook_key"
    context = make_context({"signing_key": KEY})
    assert refused(lambda: rotator.apply(context, {"a": "x" * 70_000})).code == "webhook_request"


@pytest.mark.parametrize(
    "url",
    ["http://rotator.example/", "https://user:pass@host/", "https:///x", "https://h/#f", "ftp://h/",
     "https://h:99999/", "https://h\n/", "https://h\\@x/", ""],
)  # fmt: skip
def test_urls_that_are_none(url: str, world: SystemWorld) -> None:
    """Refused when the settings are written."""
    kind = webhook.kind([], world)
    with pytest.raises(ValidationError):
        kind.parse({"url": url})
    with pytest.raises(SetupError):
        webhook.kind([url], world)


def test_an_origin_has_no_path(world: SystemWorld) -> None:
    """It would look as if only that path were allowed."""
    with pytest.raises(SetupError):
        webhook.kind(["https://rotator.example/rotate"], world)
    webhook.kind(["https://rotator.example", "https://[fd00::1]:8443/"], world)
