"""A ledger against a capture: what it lacks shows, and every byte is accounted for."""

import ssl
from pathlib import Path

import msgspec
from wsproto.frame_protocol import FrameProtocol

from protocols.capture.pcap import read_capture
from protocols.capture.tls import parse_key_log
from protocols.link.limits import MAX_FRAME
from tests.unit.protocols.capture.conftest import server as server
from tests.unit.protocols.capture.made import (
    FIN,
    FIRST,
    HERE,
    THERE,
    carried,
    packet,
    pcap,
    talk,
)
from tests.unit.protocols.capture.test_messages import HEAD
from tests.unit.vault.control_link.test_request_heads import POST
from vault.control_link.capture_comparison import CaptureComparison, compare_capture
from vault.control_link.egress_chain import EgressStream, LedgerChain, LedgerEntry

FRAMES = [b"hello", b"registration", b"alert"]
CLIENT = FrameProtocol(client=True, extensions=[])
SECRET = b"hunter2-the-password"
HTTP = POST.partition(b"5\r\n\r\n")[0]


def entries(*connections: list[bytes]) -> list[LedgerEntry]:
    """A ledger of these."""
    chain, found = LedgerChain(), []
    for number, contents in enumerate(connections):
        sending = EgressStream(
            kind="frame", peer="https://c:8301", path="/link/v1", connection=f"{number}"
        )
        for content in contents:
            line = chain.entry_line(sending, content, 1)
            found.append(msgspec.json.decode(line, type=LedgerEntry))
    return found


def linked(*more: bytes, head: bytes = HEAD) -> list[bytes]:
    """What an agent says that sends `FRAMES`."""
    return [head, *(CLIENT.send_data(one, fin=True) for one in FRAMES), *more]


def compared(
    folder: Path, context: ssl.SSLContext, ledger: list[LedgerEntry], parts: list[bytes]
) -> CaptureComparison:
    """This ledger against a connection that carried this."""
    made = talk(folder, context, parts)
    return compare_capture(
        ledger, read_capture(pcap(carried(made))), parse_key_log(made.keylog), [THERE.port]
    )


def held(
    folder: Path, context: ssl.SSLContext, ledger: list[LedgerEntry], *more: bytes
) -> CaptureComparison:
    """This ledger against a connection that carried `FRAMES`, and more packets."""
    made = talk(folder, context, linked())
    capture = read_capture(pcap([*carried(made), *more]))
    return compare_capture(ledger, capture, parse_key_log(made.keylog), [THERE.port])


def test_a_ledger_that_has_it_all(tmp_path: Path, server: ssl.SSLContext) -> None:
    """It may have more: connections of other days, and an end that was never sent."""
    ledger = entries([b"other day"], [*FRAMES, b"never sent"])
    found = held(tmp_path, server, ledger)
    assert found.is_accounted_for
    assert (found.connections, found.messages, found.matched) == (1, 3, 3)
    assert found.message_bytes == sum(map(len, FRAMES))
    assert found.wire_bytes == (
        found.message_bytes + found.protocol_bytes + found.handshake_bytes + found.sealing_bytes
    )
    assert found.protocol_bytes == len(HEAD) + 3 * 6
    assert (found.other_bytes, found.foreign) == (0, ())


def test_a_ledger_that_lacks_something(tmp_path: Path, server: ssl.SSLContext) -> None:
    """One message left out, or in another order: it does not hold."""
    for ledger in (entries([FRAMES[0], FRAMES[2]]), entries([FRAMES[1], FRAMES[0], FRAMES[2]]), []):
        found = held(tmp_path, server, ledger)
        assert not found.is_accounted_for
        assert found.missing > 0


def test_one_line_of_the_ledger_stands_for_one_message(
    tmp_path: Path, server: ssl.SSLContext
) -> None:
    """What was sent twice, over two connections, has to be written down twice."""
    other = THERE._replace(host="10.0.0.3", port=40_001)
    said = linked()
    packets, secrets = [], {}
    for here in (HERE, other):
        made = talk(tmp_path, server, said)
        packets += carried(made, here=here)
        secrets.update(parse_key_log(made.keylog))
    for ledger, missing in ((entries(FRAMES), 3), (entries(FRAMES, FRAMES), 0)):
        found = compare_capture(ledger, read_capture(pcap(packets)), secrets, [THERE.port])
        assert (found.connections, found.missing, found.is_accounted_for) == (
            2,
            missing,
            not missing,
        )


def test_what_was_not_seen_proves_nothing(tmp_path: Path, server: ssl.SSLContext) -> None:
    """A connection without its beginning, one that does not open; other ports are others'."""
    stranger = THERE._replace(host="10.0.0.9", port=50_000)
    found = held(tmp_path, server, entries(FRAMES), packet(stranger, THERE, 1, b"x"))
    assert (found.midway, found.is_accounted_for) == (1, False)
    other = packet(stranger, THERE._replace(port=443), 1, b"x")
    assert held(tmp_path, server, entries(FRAMES), other).is_accounted_for
    made = talk(tmp_path, server, [HEAD])
    blind = compare_capture(entries(FRAMES), read_capture(pcap(carried(made))), {}, [THERE.port])
    assert (len(blind.unread), blind.is_accounted_for) == (1, False)


def test_every_message_counts(tmp_path: Path, server: ssl.SSLContext) -> None:
    """A text, a further request, one that was cut off: what the ledger lacks of them is missing."""
    asked = HTTP + b"5\r\n\r\nhello", HTTP + b"20\r\n\r\n" + SECRET
    for parts, ledger, missing in (
        (linked(CLIENT.send_data(SECRET.decode(), fin=True)), entries(FRAMES), 1),
        (list(asked), entries([b"hello"]), 1),
        (list(asked), entries([b"hello", SECRET]), 0),
        ([HTTP + b"20\r\n\r\n" + SECRET[:9]], entries([b"hello"]), 1),
        ([HTTP + b"20\r\n\r\n" + SECRET[:9]], entries([SECRET]), 0),
    ):
        found = compared(tmp_path, server, ledger, parts)
        assert (found.missing, found.is_accounted_for, found.foreign) == (missing, not missing, ())
    for size, there in ((60_000, 40_000), (70_000, 40_000), (70_000, 100), (200, 100)):
        cut = linked(CLIENT.send_data(b"x" * size, fin=True)[:there])  # in headers of 8, 14, 14, 8
        assert compared(tmp_path, server, entries([*FRAMES, b"x" * size]), cut).is_accounted_for
        assert compared(tmp_path, server, entries([*FRAMES, b"y" * size]), cut).missing == 1


def test_nothing_is_said_beside_the_messages(tmp_path: Path, server: ssl.SSLContext) -> None:
    """In a ping, a pong, a close, a head, or around them; a close has few forms."""
    pieces = FrameProtocol(client=True, extensions=[])  # it knows that its message is not ended
    for more, count, told in (
        ([CLIENT.ping(SECRET), CLIENT.ping(b"1234")], 24, "24 bytes in websocket ping"),
        ([CLIENT.pong(SECRET)], 20, "20 bytes in websocket pong"),
        ([CLIENT.ping(b"ab")], 2, "2 bytes in websocket ping"),
        ([CLIENT.close(1000, SECRET.decode())], 22, "22 bytes in websocket close"),
        ([CLIENT.ping(SECRET)[:9]], 9, "9 bytes in what is no whole message"),
        ([pieces.send_data(b"", fin=False)], 6, "6 bytes in what is no whole message"),
        ([CLIENT.ping(b""), CLIENT.pong(b""), CLIENT.close(1000)], 2, ""),
        ([CLIENT.close(1008, "signature")], 11, ""),
        ([CLIENT.close(1008, "refused")], 9, ""),
        ([CLIENT.close(1009, f"Exceeded maximum message size: {MAX_FRAME} bytes")], 45, ""),
        ([CLIENT.close()], 0, ""),
        ([CLIENT.close(4242)], 2, "2 bytes in websocket close"),
        ([CLIENT.close(1000, "signature")], 11, "11 bytes in websocket close"),
        ([CLIENT.close(1008)], 2, "2 bytes in websocket close"),
        ([CLIENT.close(), CLIENT.close(1000)], 8, "8 bytes in what is no whole message"),
    ):
        found = compared(tmp_path, server, entries(FRAMES), linked(*more))
        assert (found.other_bytes, found.missing, found.is_accounted_for) == (count, 0, not told)
        assert len(found.foreign) == bool(told)
        assert all(told in one and one.startswith("10.0.0.2:") for one in found.foreign)
    head = HEAD[:-2] + b"X-Trace: " + SECRET + b"\r\n\r\n"
    found = compared(tmp_path, server, entries(FRAMES), linked(head=head))
    assert (found.is_accounted_for, found.other_bytes, found.missing) == (False, 31, 0)
    assert "an HTTP head" in found.foreign[0]


def test_no_packet_may_be_missing(tmp_path: Path, server: ssl.SSLContext) -> None:
    """Whichever was dropped: what came after it was not looked at, so nothing holds.

    The first was the connection's beginning, the second the server's; then its answer, which tells
    what it chose.
    """
    parts = linked(*(CLIENT.send_data(SECRET, fin=True) for _ in range(20)))
    made = talk(tmp_path, server, parts)
    end = FIRST + 1 + len(made.sent)
    packets = [*carried(made, size=100), packet(HERE, THERE, end, flags=FIN)]
    secrets = parse_key_log(made.keylog)
    ledger = entries([*FRAMES, *[SECRET] * 20])
    assert compare_capture(
        ledger, read_capture(pcap(packets)), secrets, [THERE.port]
    ).is_accounted_for
    ours = [number for number, one in enumerate(packets[:-1]) if one[12:16] == packets[0][12:16]]
    for number in ours:
        some = packets[:number] + packets[number + 1 :]
        found = compare_capture(ledger, read_capture(pcap(some)), secrets, [THERE.port])
        assert not found.is_accounted_for
        assert found.unread or found.midway
    assert len(ours) > 20
    silent = [*packets[:2], packet(THERE, HERE, FIRST + 1, acknowledged=end)]
    found = compare_capture(ledger, read_capture(pcap(silent)), secrets, [THERE.port])
    assert (found.is_accounted_for, len(found.unread)) == (False, 1)


def test_a_last_record_that_is_not_whole(tmp_path: Path, server: ssl.SSLContext) -> None:
    """Nobody can open it, so nobody knows what was in it."""
    made = talk(tmp_path, server, linked())
    cut = made._replace(sent=made.sent[:-1])
    found = compare_capture(
        entries(FRAMES), read_capture(pcap(carried(cut))), parse_key_log(made.keylog), [THERE.port]
    )
    assert not found.is_accounted_for
    assert "not whole" in found.unread[0]
