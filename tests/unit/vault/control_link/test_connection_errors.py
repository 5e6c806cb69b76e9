"""Why a control plane was not reached: true requests to what is none."""

import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import trio

from protocols.link_transport.tls_contexts import agent_context, pinned_context
from tests.unit.protocols.pki.samples import make_pki
from tests.unit.vault.control_link.https import PKI, serving
from vault.control_link import enrol_client
from vault.control_link.enrol_client import EnrolError, describe_connection_error, post_request

OTHER = make_pki("unreached", time.time_ns())


def pinned(pin: str = PKI.trust.pins[0], now: Callable[[], int] = time.time_ns) -> ssl.SSLContext:
    """Of an agent with this pin."""
    return pinned_context(pin, now)


async def told(context: ssl.SSLContext, address: str) -> str:
    """What is said of a request to there."""
    with trio.fail_after(30), pytest.raises(EnrolError) as refused:
        await post_request(context, address, "/link/v1/enrol", b"{}")
    assert refused.value.status == 0
    return str(refused.value)


class Nobody(trio.abc.HostnameResolver):
    """Knows no name."""

    async def getaddrinfo(self, *_: object, **__: object) -> NoReturn:
        """See the base."""
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def getnameinfo(self, *_: object, **__: object) -> NoReturn:
        """See the base."""
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def nothing(stream: trio.abc.Stream) -> None:
    """Hear the request and leave."""
    await stream.receive_some()


async def never(_: trio.abc.Stream) -> None:
    """Take the connection and be silent."""
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("context", "says"),
    [
        (lambda: pinned(OTHER.trust.pins[0]), "does not have the pin"),
        (lambda: pinned(now=lambda: 1), "does not prove to be the control plane: the certificate"),
        (
            lambda: agent_context(None, OTHER.trust, time.time_ns),
            "does not prove to be the control plane: self-signed",
        ),
        (pinned, "it cut the connection"),
    ],
)
async def test_a_peer_with_another_certificate(
    tmp_path: Path, context: Callable[[], ssl.SSLContext], says: str
) -> None:
    """Another's pin, one that is not valid now, another's root; and one that leaves."""
    async with serving(nothing, tmp_path) as port:
        assert says in await told(context(), f"https://127.0.0.1:{port}")


async def test_a_peer_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """It talks HTTP, it leaves, it says nothing."""

    async def http(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    monkeypatch.setattr(enrol_client, "STEP_TIMEOUT", 0.5)
    for talk, says in (
        (http, "no TLS with what answers (wrong version number): is it the port for agents?"),
        (nothing, "it cut the connection"),
        (never, "it did not answer in time"),
    ):
        async with serving(talk) as port:
            address = f"https://127.0.0.1:{port}"
            assert await told(pinned(), address) == f"cannot reach {address}: {says}"


async def test_no_peer_at_all() -> None:
    """A port where nobody is, a name that nobody has."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    assert "refused: nothing listens" in await told(pinned(), f"https://127.0.0.1:{port}")
    trio.socket.set_custom_hostname_resolver(Nobody())
    says = await told(pinned(), "https://nobody.test")
    assert says.endswith(": its name cannot be resolved: Name or service not known")


def test_what_is_not_known_is_named_all_the_same() -> None:
    """An error that prints as nothing, an error of the system, one that is behind itself."""
    assert describe_connection_error(KeyError()) == "KeyError"
    assert (
        describe_connection_error(OSError(101, "Network is unreachable"))
        == "Network is unreachable"
    )
    ring = RuntimeError()
    ring.__cause__, ring.__context__ = None, RuntimeError()
    ring.__context__.__context__ = ring
    assert describe_connection_error(ring) == "RuntimeError"
