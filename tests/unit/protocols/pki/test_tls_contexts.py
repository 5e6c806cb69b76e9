import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from trio.testing import memory_stream_pair

from protocols.link_transport.tls_contexts import (
    TlsIdentity,
    agent_context,
    peer_chain,
    pinned_context,
    server_context,
)
from protocols.pki import profile
from protocols.pki.certificates import to_der, to_pem
from protocols.pki.chain import verify_agent
from protocols.pki.errors import PkiKeyError
from protocols.pki.files import PUBLIC_MODE, write_atomically
from protocols.pki.keys import KeyKind, new_curve_key, store_key
from protocols.pki.pin import pin_of
from protocols.pki.trust import TrustStore
from tests.unit.protocols.pki.samples import (
    NAME,
    Holder,
    forge,
    make_agent,
    make_pki,
    make_server,
    uris,
)

# OpenSSL asks the machine's clock, so these certificates are of now.
NOW = time.time_ns()
A, B = make_pki("tls a", NOW), make_pki("tls b", NOW)
PIN = pin_of(A.root.certificate)

Save = Callable[[Holder], TlsIdentity]


def clock() -> int:
    """The instant of the checks that are ours."""
    return NOW


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Puts key and chain where TLS wants them."""

    def write_files(holder: Holder) -> TlsIdentity:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        identity = TlsIdentity(folder / "chain.pem", folder / "key.pem")
        store_key(identity.key, holder.key)
        write_atomically(identity.chain, to_pem(holder.chain), PUBLIC_MODE)
        return identity

    return write_files


async def shake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[object, object]:
    """How the handshake ended at the server and at the client: the peer's chain, or the error.

    Each end then says one byte and reads one: in TLS 1.3 a client learns of a refusal only there.
    """
    left, right = memory_stream_pair()
    ends = [
        trio.SSLStream(left, server, server_side=True),
        trio.SSLStream(right, client, server_hostname="anything"),
    ]
    outcomes: list[object] = [None, None]

    async def run(i: int) -> None:
        try:
            await ends[i].do_handshake()
            await ends[i].send_all(b"x")
            assert await ends[i].receive_some(1) == b"x"
            outcomes[i] = peer_chain(ends[i]._ssl_object)
        except trio.BrokenResourceError as error:
            outcomes[i] = error.__cause__
        finally:
            if not isinstance(outcomes[i], list):
                await trio.aclose_forcefully(ends[i])

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, 0)
            nursery.start_soon(run, 1)
    return outcomes[0], outcomes[1]


async def test_agent_and_control_plane_know_each_other(save: Save) -> None:
    """Each has the other's chain, and from it the name."""
    agent = make_agent(A, now=NOW)
    server = server_context(save(make_server(A, NOW)), A.trust)
    seen, shown = await shake(server, agent_context(save(agent), A.trust, clock))
    assert seen == agent.ders
    assert isinstance(shown, list)
    assert isinstance(seen, list)
    assert verify_agent(seen, A.trust, NOW).name == NAME


async def test_a_chain_may_end_at_our_own_intermediate(save: Save) -> None:
    """What it has certified is known, whatever root is trusted; nothing else is."""
    known = [A.authority.certificate]
    server = server_context(save(make_server(A, NOW)), B.trust, issuers=known)
    seen, _ = await shake(server, agent_context(save(make_agent(A, now=NOW)), A.trust, clock))
    assert isinstance(seen, list)
    strange = make_agent(make_pki("tls c", NOW), now=NOW)
    seen, _ = await shake(server, agent_context(save(strange), A.trust, clock))
    assert isinstance(seen, ssl.SSLError)


@pytest.mark.parametrize("case", ["none", "foreign", "server's", "expired"])
async def test_a_client_without_a_good_certificate_is_refused(save: Save, case: str) -> None:
    """None, one of another authority, a server's as a client's, yesterday's."""
    yesterday = NOW - 2 * profile.DAY
    old = make_pki("tls a old", yesterday)
    shown = {
        "none": None,
        "foreign": make_agent(B, now=NOW),
        "server's": make_server(A, NOW),
        "expired": make_agent(old, now=yesterday),
    }[case]
    trust = TrustStore.from_roots([A.root.certificate, old.root.certificate])
    server = server_context(save(make_server(A, NOW)), trust)
    identity = save(shown) if shown else None
    seen, _ = await shake(server, agent_context(identity, A.trust, clock))
    assert isinstance(seen, ssl.SSLError)


@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("case", ["same name", "an agent", "another server", "expired"])
async def test_an_agent_takes_no_other_for_the_control_plane(
    save: Save, case: str, pinned: bool
) -> None:
    """Nothing of the agent's (a token!) is sent: the handshake fails at its end."""
    long_ago = NOW - 30 * profile.DAY
    impostor = {
        "same name": make_server(B, NOW),
        "an agent": make_agent(A, now=NOW),
        "another server": forge(A, uris(NAME.uri), profile.SERVER_USE),
        "expired": make_server(make_pki("tls a", long_ago), long_ago),
    }[case]
    server = server_context(save(impostor), A.trust, clients=ssl.CERT_OPTIONAL)
    client = pinned_context(PIN, clock) if pinned else agent_context(None, A.trust, clock)
    seen, shown = await shake(server, client)
    assert isinstance(shown, ssl.SSLCertVerificationError)
    assert not isinstance(seen, list)


async def test_a_pin_is_enough_to_know_the_control_plane(save: Save) -> None:
    """The bootstrap: no root at hand, and none shown by the client."""
    server = server_context(save(make_server(A, NOW)), A.trust, clients=ssl.CERT_OPTIONAL)
    seen, shown = await shake(server, pinned_context(PIN, clock))
    assert seen == []
    assert isinstance(shown, list)
    assert shown[-1] == to_der(A.root.certificate)


async def test_the_pins_authority_must_have_signed_what_is_shown(save: Save) -> None:
    """The true root beside a chain of another proves nothing."""
    impostor = make_server(B, NOW)
    mixed = Holder(impostor.key, (*impostor.chain, A.root.certificate))
    server = server_context(save(mixed), A.trust, clients=ssl.CERT_OPTIONAL)
    _, shown = await shake(server, pinned_context(PIN, clock))
    assert isinstance(shown, ssl.SSLCertVerificationError)


async def test_nothing_below_tls_1_3_and_no_resumption(save: Save) -> None:
    """A resumed session would skip the check of the certificate."""
    server = server_context(save(make_server(A, NOW)), A.trust)
    client = agent_context(save(make_agent(A, now=NOW)), A.trust, clock)
    for context in (server, client):
        assert context.minimum_version is context.maximum_version is ssl.TLSVersion.TLSv1_3
    assert server.num_tickets == 0
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    seen, _ = await shake(server, old)
    assert isinstance(seen, ssl.SSLError)


def test_a_blocking_socket_is_checked_too(save: Save) -> None:
    """Whichever way a library makes its connections."""
    identity = save(make_server(B, NOW))
    server = server_context(identity, A.trust, clients=ssl.CERT_OPTIONAL)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        serving = server.wrap_bio(incoming, outgoing, server_side=True)
        with pinned_context(PIN, clock).wrap_socket(ours, do_handshake_on_connect=False) as client:
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.do_handshake()
            incoming.write(theirs.recv(65536))
            with pytest.raises(ssl.SSLWantReadError):
                serving.do_handshake()
            theirs.sendall(outgoing.read())
            with pytest.raises(ssl.SSLCertVerificationError, match="pin_mismatch"):
                client.do_handshake()


def test_files_that_do_not_fit_are_told(save: Save, tmp_path: Path) -> None:
    """With their names."""
    one, other = save(make_server(A, NOW)), save(make_agent(A, now=NOW))
    wrong = tmp_path / "p384.key"
    store_key(wrong, new_curve_key(KeyKind.AUTHORITY))
    for identity in (TlsIdentity(one.chain, other.key), TlsIdentity(one.chain, wrong)):
        with pytest.raises(PkiKeyError, match=r"chain\.pem"):
            server_context(identity, A.trust)
    with pytest.raises(PkiKeyError):
        server_context(TlsIdentity(tmp_path / "missing", one.key), A.trust)
