"""TLS as clients meet it: protocols, certificates, reload, resumption."""

import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trustme
from cryptography import x509

from protocols.http.asgi import Receive, Scope, Send
from protocols.http.errors import TlsConfigError

Fixture = Callable[..., Awaitable[Any]]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def who(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with protocol, TLS version and the client certificate's subject name."""
    tls = scope["extensions"]["tls"]
    name = "-"
    if tls["peer_certificate"] is not None:
        certificate = x509.load_der_x509_certificate(tls["peer_certificate"])
        kind = x509.SubjectAlternativeName
        names = certificate.extensions.get_extension_for_class(kind).value
        name = names.get_values_for_type(x509.DNSName)[0]
    text = f"{scope['http_version']} {scope['scheme']} {tls['version']} {tls['cipher']} {name}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})


async def ask(stream: trio.SSLStream[trio.SocketStream]) -> str:
    """One request over HTTP/1.1; the answer's body."""
    await stream.send_all(GET)
    return (await stream.receive_some()).partition(b"\r\n\r\n")[2].decode()


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), (["http/1.1", "h2"], "h2")],
)
async def test_alpn_chooses_http2_when_it_is_offered(
    serving: Fixture, dial_tls: Fixture, certificates: Any, offered: list[str], chosen: str
) -> None:
    """RFC 7301: the server's preference decides."""
    handle = await serving(who, tls=certificates.config())
    stream = await dial_tls(handle, certificates.context(*offered))
    assert stream.selected_alpn_protocol() == chosen
    await stream.aclose()


async def test_client_without_alpn_speaks_http_1_1(
    serving: Fixture, dial_tls: Fixture, certificates: Any
) -> None:
    """Old clients are served."""
    handle = await serving(who, tls=certificates.config())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    certificates.ca.configure_trust(context)
    stream = await dial_tls(handle, context)
    assert (await ask(stream)).startswith("1.1 https TLSv1.3 TLS_")
    await stream.aclose()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_versions_are_served(
    serving: Fixture, dial_tls: Fixture, certificates: Any, version: ssl.TLSVersion
) -> None:
    """TLS 1.2 and 1.3, and the scope says which."""
    handle = await serving(who, tls=certificates.config())
    context = certificates.context()
    context.minimum_version = context.maximum_version = version
    stream = await dial_tls(handle, context)
    assert version.name.replace("_", ".") in await ask(stream)
    await stream.aclose()


async def test_older_versions_are_not(
    serving: Fixture, dial_tls: Fixture, certificates: Any
) -> None:
    """TLS 1.1 is refused even by a client that would take it."""
    handle = await serving(who, tls=certificates.config())
    context = certificates.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert await refused(handle, dial_tls, context)


async def test_client_certificate_reaches_the_app(
    serving: Fixture, dial_tls: Fixture, dial_h2: Fixture, certificates: Any
) -> None:
    """`peer_certificate` is the DER of a certificate that the trust store vouches for."""
    handle = await serving(who, tls=certificates.config("required"))
    stream = await dial_tls(handle, certificates.context(identity=certificates.ca))
    assert (await ask(stream)).endswith(" client.test")
    await stream.aclose()
    client = await dial_h2(handle, certificates.context("h2", identity=certificates.ca))
    status, body = await client.answer(client.request())
    assert (status, body[:8], body[-12:]) == (200, b"2 https ", b" client.test")
    await client.stream.aclose()


async def test_optional_certificate_may_be_left_out(
    serving: Fixture, dial_tls: Fixture, certificates: Any
) -> None:
    """Without one the scope says None; with one of a stranger the handshake fails."""
    handle = await serving(who, tls=certificates.config("optional"))
    stream = await dial_tls(handle, certificates.context())
    assert (await ask(stream)).endswith(" -")
    await stream.aclose()
    stream = await dial_tls(handle, certificates.context(identity=certificates.ca))
    assert (await ask(stream)).endswith("client.test")
    await stream.aclose()
    assert await refused(handle, dial_tls, certificates.context(identity=trustme.CA()))


async def refused(handle: Any, dial_tls: Fixture, context: ssl.SSLContext) -> bool:
    """Whether a client is turned away; in TLS 1.3 it learns so only after its handshake."""
    try:
        stream = await dial_tls(handle, context)
        await stream.send_all(GET)
        return await stream.receive_some() == b""
    except trio.BrokenResourceError:
        return True


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_required_certificate_is_required(
    serving: Fixture, dial_tls: Fixture, certificates: Any, version: ssl.TLSVersion
) -> None:
    """None, or a stranger's, is no entry; the server goes on for others."""
    handle = await serving(who, tls=certificates.config("required"))
    for identity in (None, trustme.CA()):
        context = certificates.context(identity=identity)
        context.minimum_version = context.maximum_version = version
        assert await refused(handle, dial_tls, context)
    stream = await dial_tls(handle, certificates.context(identity=certificates.ca))
    assert (await ask(stream)).endswith("client.test")
    await stream.aclose()


async def test_certificate_and_trust_store_change_without_a_dropped_connection(
    serving: Fixture, dial_tls: Fixture, certificates: Any
) -> None:
    """New handshakes meet the new files; a connection from before goes on."""
    old, new = certificates.ca, trustme.CA()
    handle = await serving(who, tls=certificates.config("required"))
    before = await dial_tls(handle, certificates.context(identity=old))
    await ask(before)
    certificates.issue(new)
    certificates.trust(new)
    handle.reload_tls()
    after = await dial_tls(handle, certificates.context(identity=new, ca=new))
    assert (await ask(after)).endswith("client.test")
    assert (await ask(before)).endswith("client.test")
    assert await refused(handle, dial_tls, certificates.context(identity=old, ca=new))
    assert await refused(handle, dial_tls, certificates.context(identity=new, ca=old))
    await before.aclose()
    await after.aclose()


async def test_bad_reload_changes_nothing(
    serving: Fixture, dial_tls: Fixture, certificates: Any
) -> None:
    """A broken file raises; the old certificate stays in force."""
    handle = await serving(who, tls=certificates.config("required"))
    (certificates.folder / "ca.pem").write_text("nonsense")
    with pytest.raises(TlsConfigError):
        handle.reload_tls()
    (certificates.folder / "key.pem").write_text("nonsense")
    with pytest.raises(TlsConfigError):
        handle.reload_tls()
    stream = await dial_tls(handle, certificates.context(identity=certificates.ca))
    assert (await ask(stream)).endswith("client.test")
    await stream.aclose()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("reload", [False, True])
async def test_sessions_are_not_resumed(
    serving: Fixture, certificates: Any, version: ssl.TLSVersion, reload: bool
) -> None:
    """A resumed session would skip the check of the client's certificate against a new store.

    Within one context TLS 1.2 may still resume by session id, where the store is the same.
    """
    handle = await serving(who, tls=certificates.config("required"))
    context = certificates.context(identity=certificates.ca)
    context.minimum_version = context.maximum_version = version

    def connect(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool | None, bytes]:
        with (
            socket.create_connection(("127.0.0.1", handle.port)) as raw,
            context.wrap_socket(raw, server_hostname="agent.test", session=session) as secure,
        ):
            try:
                secure.sendall(GET)
                answer = secure.recv(4_096)
            except OSError:
                answer = b""
            return secure.session, secure.session_reused, answer

    session, reused, answer = await trio.to_thread.run_sync(connect, None)
    assert (reused, answer[:12]) == (False, b"HTTP/1.1 200")
    assert session is None or not session.has_ticket
    if reload:
        certificates.trust(trustme.CA())
        handle.reload_tls()
        try:
            _, reused, answer = await trio.to_thread.run_sync(connect, session)
        except OSError:  # refused in the handshake
            return
        assert (reused, answer) == (False, b"")
    elif version == ssl.TLSVersion.TLSv1_3:
        _, reused, _ = await trio.to_thread.run_sync(connect, session)
        assert not reused


async def test_plain_text_on_the_tls_port_hurts_nobody(
    serving: Fixture, dial_tls: Fixture, certificates: Any
) -> None:
    """A browser without https, a port scanner, garbage: closed, and the next is served."""
    handle = await serving(who, tls=certificates.config())
    for data in (GET, b"\x00" * 100, b"\x16\x03\x01\x00\x05hello"):
        async with await trio.open_tcp_stream("127.0.0.1", handle.port) as stream:
            await stream.send_all(data)
            try:
                async for _ in stream:
                    pass
            except trio.BrokenResourceError:
                pass
    stream = await dial_tls(handle, certificates.context())
    assert await ask(stream)
    await stream.aclose()
