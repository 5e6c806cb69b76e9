"""What a client said under TLS 1.3, by the secrets that it wrote down (RFC 8446, 5 and 7.3).

The secrets are those of the NSS key log format (`SSLKEYLOGFILE`), found by the client's random.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from protocols.capture.pcap import CaptureError, TcpStream

RECORD_HEADER_SIZE: Final = 5  # bytes of a record's
_HANDSHAKE, _APPLICATION, _CIPHER_CHANGE = 22, 23, 20
_CLIENT_HELLO, _SERVER_HELLO, _FINISHED, _KEY_UPDATE = 1, 2, 20, 24
_SUITES: Final[dict[int, tuple[type[AESGCM | ChaCha20Poly1305], int, HashAlgorithm]]] = {
    0x1301: (AESGCM, 16, SHA256()),
    0x1302: (AESGCM, 32, SHA384()),
    0x1303: (ChaCha20Poly1305, 32, SHA256()),
}

KeyLogSecrets = dict[tuple[str, bytes], bytes]
"""(label, client random) → secret."""


class ClientPlaintext(NamedTuple):
    """What a client said, and how many bytes that took.

    `records`: whole records; `handshake`: those of them that carry no data; `sealing`: what the
    others add to the data; `rest`: of a record that was cut off. `records` is the sum of
    `handshake`, `sealing` and the data.
    """

    data: bytes
    records: int
    handshake: int
    sealing: int
    rest: int


def parse_key_log(text: str) -> KeyLogSecrets:
    """A key log. Raises `CaptureError`."""
    found: KeyLogSecrets = {}
    try:
        for line in text.splitlines():
            if line and not line.startswith("#"):
                label, random, secret = line.split()
                found[label, bytes.fromhex(random)] = bytes.fromhex(secret)
    except ValueError:
        raise CaptureError("this is no key log (lines of LABEL RANDOM SECRET)") from None
    return found


def decrypt_client(stream: TcpStream, secrets: KeyLogSecrets) -> ClientPlaintext:
    """What the client of this connection said. Raises `CaptureError`."""
    sent, received = bytes(stream.sent.data), bytes(stream.received.data)
    hellos = list(_plain(sent))
    if not hellos or hellos[0][:1] != bytes([_CLIENT_HELLO]):
        raise CaptureError("this is not TLS")
    random = hellos[0][6:38]
    suite = _suite(received)
    try:
        keys = [
            _RecordKey(secrets[label, random], suite)
            for label in ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0")
        ]
    except KeyError:
        raise CaptureError(
            "its secrets are not in the key log: take the log that was written meanwhile"
        ) from None
    return _opened(sent, *keys)


class _RecordKey:
    """Opens one direction's records, in their order."""

    def __init__(self, secret: bytes, suite: int) -> None:
        self._suite = suite
        self._secret = secret
        cipher, size, digest = _SUITES[suite]
        self._aead = cipher(_expand(digest, secret, b"key", size))
        self._nonce = int.from_bytes(_expand(digest, secret, b"iv", 12))
        self._number = 0

    def decrypt_record(self, record: bytes) -> tuple[int, bytes]:
        """The kind and the content of an encrypted record. Raises `CaptureError`."""
        nonce = (self._nonce ^ self._number).to_bytes(12)
        self._number += 1
        try:
            inner = self._aead.decrypt(
                nonce, record[RECORD_HEADER_SIZE:], record[:RECORD_HEADER_SIZE]
            )
        except InvalidTag:
            raise CaptureError("a record does not open: a hole in the capture?") from None
        content = inner.rstrip(b"\0")
        if not content:
            raise CaptureError("a record has no kind: the capture is damaged")
        return content[-1], content[:-1]

    def next_key(self) -> "_RecordKey":
        """After a `KeyUpdate` (7.2)."""
        digest = _SUITES[self._suite][2]
        return _RecordKey(
            _expand(digest, self._secret, b"traffic upd", digest.digest_size), self._suite
        )


def _opened(sent: bytes, first: _RecordKey, then: _RecordKey) -> ClientPlaintext:
    key, data, spoken = first, bytearray(), bytearray()
    records = handshake = sealing = 0
    for record in _records(sent):
        records += len(record)
        kind, content = (record[0], b"")
        if kind == _APPLICATION:
            kind, content = key.decrypt_record(record)
        if kind == _APPLICATION:
            data += content
            sealing += len(record) - len(content)
            continue
        handshake += len(record)
        spoken += content if kind == _HANDSHAKE else b""
        for message in _messages(spoken):
            if message == _FINISHED:
                key = then
            elif message == _KEY_UPDATE:
                key = key.next_key()
    return ClientPlaintext(bytes(data), records, handshake, sealing, len(sent) - records)


def _messages(spoken: bytearray) -> Iterator[int]:
    """The kinds of the whole handshake messages at the beginning, which are taken away."""
    while (size := 4 + int.from_bytes(spoken[1:4])) <= len(spoken):
        kind = spoken[0]
        del spoken[:size]
        yield kind


def _records(stream: bytes) -> Iterator[bytes]:
    at = 0
    while len(stream) >= at + RECORD_HEADER_SIZE:
        size = RECORD_HEADER_SIZE + struct.unpack(">H", stream[at + 3 : at + RECORD_HEADER_SIZE])[0]
        if len(stream) < at + size:
            return
        yield stream[at : at + size]
        at += size


def _plain(stream: bytes) -> Iterator[bytes]:
    """The contents of the records in clear at the beginning."""
    for record in _records(stream):
        if record[0] == _HANDSHAKE:
            yield record[RECORD_HEADER_SIZE:]
        elif record[0] != _CIPHER_CHANGE:
            return


def _suite(received: bytes) -> int:
    """What the server chose: in its hello, or in its request for another one, the same."""
    hello = next(_plain(received), b"")
    if len(hello) < 41 or hello[0] != _SERVER_HELLO:  # noqa: PLR2004  # 4.1.3
        raise CaptureError("the server's hello was not captured: start before the connection")
    at = 39 + hello[38]
    suite = int.from_bytes(hello[at : at + 2])
    if suite not in _SUITES:
        raise CaptureError("this is not TLS 1.3 with a suite that is read")
    return suite


def _expand(digest: HashAlgorithm, secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label with an empty context (7.1)."""
    name = b"tls13 " + label
    info = struct.pack(">HB", size, len(name)) + name + b"\0"
    return HKDFExpand(algorithm=digest, length=size, info=info).derive(secret)
