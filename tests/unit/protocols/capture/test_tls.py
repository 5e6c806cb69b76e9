"""TLS 1.3 opened by its key log, as OpenSSL spoke it."""

import ssl
from pathlib import Path

import pytest

from protocols.capture.pcap import CaptureError, TcpStream, read_capture
from protocols.capture.tls import decrypt_client, parse_key_log
from tests.unit.protocols.capture.made import Talk, carried, pcap, talk

PARTS = [b"first", b"x" * 40_000, b"last"]


def stream(made: Talk) -> TcpStream:
    """As a capture shows it."""
    [found] = read_capture(pcap(carried(made))).streams
    return found


def test_what_was_said_and_what_it_took(tmp_path: Path, server: ssl.SSLContext) -> None:
    """Every byte is data, handshake or seal: 22 for each record of data."""
    made = talk(tmp_path, server, PARTS)
    found = decrypt_client(stream(made), parse_key_log(made.keylog))
    assert found.data == b"".join(PARTS)
    assert found.rest == 0
    assert found.sealing == 22 * (1 + 3 + 1)
    assert found.records == len(made.sent) == found.handshake + found.sealing + len(found.data)


def test_a_record_that_was_cut_off(tmp_path: Path, server: ssl.SSLContext) -> None:
    """What is whole counts, the rest is counted."""
    made = talk(tmp_path, server, PARTS)
    short = made._replace(sent=made.sent[:-9])
    found = decrypt_client(stream(short), parse_key_log(made.keylog))
    assert found.data == b"".join(PARTS[:-1])
    assert found.records + found.rest == len(short.sent)


def test_what_does_not_open_is_told(tmp_path: Path, server: ssl.SSLContext) -> None:
    """Other keys, changed bytes, no hello, no TLS, no key log."""
    made = talk(tmp_path, server, PARTS)
    secrets = parse_key_log(made.keylog)
    bent = bytearray(made.sent)
    bent[-1] ^= 1
    wrong = {key: bytes(len(secret)) for key, secret in secrets.items()}
    for shown, keys, told in (
        (made, {}, "not in the key log"),
        (made, wrong, "does not open"),
        (made._replace(sent=bytes(bent)), secrets, "does not open"),
        (made._replace(received=b""), secrets, "server's hello"),
        (made._replace(sent=b"GET / HTTP/1.1\r\n\r\n"), secrets, "not TLS"),
    ):
        with pytest.raises(CaptureError, match=told):
            decrypt_client(stream(shown), keys)
    with pytest.raises(CaptureError, match="key log"):
        parse_key_log("CLIENT_RANDOM only")
    assert parse_key_log("# a comment\n\n") == {}
