"""A ledger against a capture: what it lacks shows, and every byte is accounted for."""

import ssl
from pathlib import Path

import msgspec
from wsproto.frame_protocol import FrameProtocol

from protocols.capture.pcap import read
from protocols.capture.tls import read_secrets
from tests.unit.protocols.capture.conftest import server as server
from tests.unit.protocols.capture.made import HERE, THERE, carried, packet, pcap, talk
from tests.unit.protocols.capture.test_messages import HEAD
from vault.uplink.comparing import Compared, compare
from vault.uplink.egress import Chain, Entry, Sending

FRAMES = [b"hello", b"registration", b"alert"]


def entries(*connections: list[bytes]) -> list[Entry]:
    """A ledger of these."""
    chain, found = Chain(), []
    for number, contents in enumerate(connections):
        sending = Sending(
            kind="frame", peer="https://c:8301", path="/link/v1", connection=f"{number}"
        )
        for content in contents:
            line = chain.entry(sending, content, 1)
            found.append(msgspec.json.decode(line, type=Entry))
    return found


def held(folder: Path, context: ssl.SSLContext, ledger: list[Entry], *more: bytes) -> Compared:
    """This ledger against a connection that carried `FRAMES`."""
    protocol = FrameProtocol(client=True, extensions=[])
    made = talk(folder, context, [HEAD, *(protocol.send_data(one, fin=True) for one in FRAMES)])
    capture = read(pcap([*carried(made), *more]))
    return compare(ledger, capture, read_secrets(made.keylog), [THERE.port])


def test_a_ledger_that_has_it_all(tmp_path: Path, server: ssl.SSLContext) -> None:
    """It may have more: connections of other days, and an end that was never sent."""
    ledger = entries([b"other day"], [*FRAMES, b"never sent"])
    found = held(tmp_path, server, ledger)
    assert found.holds
    assert (found.connections, found.messages, found.matched) == (1, 3, 3)
    assert found.message_bytes == sum(map(len, FRAMES))
    assert found.wire_bytes == (
        found.message_bytes
        + found.protocol_bytes
        + found.handshake_bytes
        + found.sealing_bytes
        + found.rest_bytes
    )


def test_a_ledger_that_lacks_something(tmp_path: Path, server: ssl.SSLContext) -> None:
    """One message left out, or in another order: it does not hold."""
    for ledger in (entries([FRAMES[0], FRAMES[2]]), entries([FRAMES[1], FRAMES[0], FRAMES[2]]), []):
        found = held(tmp_path, server, ledger)
        assert not found.holds
        assert found.missing > 0


def test_one_line_of_the_ledger_stands_for_one_message(
    tmp_path: Path, server: ssl.SSLContext
) -> None:
    """What was sent twice, over two connections, has to be written down twice."""
    other = THERE._replace(host="10.0.0.3", port=40_001)
    protocol = FrameProtocol(client=True, extensions=[])
    said = [HEAD, *(protocol.send_data(one, fin=True) for one in FRAMES)]
    packets, secrets = [], {}
    for here in (HERE, other):
        made = talk(tmp_path, server, said)
        packets += carried(made, here=here)
        secrets.update(read_secrets(made.keylog))
    for ledger, missing in ((entries(FRAMES), 3), (entries(FRAMES, FRAMES), 0)):
        found = compare(ledger, read(pcap(packets)), secrets, [THERE.port])
        assert (found.connections, found.missing, found.holds) == (2, missing, not missing)


def test_what_was_not_seen_proves_nothing(tmp_path: Path, server: ssl.SSLContext) -> None:
    """A connection without its beginning, one that does not open; other ports are others'."""
    stranger = THERE._replace(host="10.0.0.9", port=50_000)
    found = held(tmp_path, server, entries(FRAMES), packet(stranger, THERE, 1, b"x"))
    assert (found.midway, found.holds) == (1, False)
    other = packet(stranger, THERE._replace(port=443), 1, b"x")
    assert held(tmp_path, server, entries(FRAMES), other).holds
    made = talk(tmp_path, server, [HEAD])
    blind = compare(entries(FRAMES), read(pcap(carried(made))), {}, [THERE.port])
    assert (len(blind.unread), blind.holds) == (1, False)
