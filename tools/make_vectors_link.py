"""Write tests/vectors/link.json from docs/spec/link.md, with no code of protocols.link.

A second implementation, kept dumb: an own msgpack encoder, fixed keys and nonces. Run it from the
repository's root (`python -m tools.make_vectors_link`) after a change of format, and read the
difference.
"""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tools.link_messages import DOWN, MESSAGES, NONCES, SINCE, UP, WALL

TARGET = Path(__file__).parent.parent / "tests" / "vectors" / "link.json"
AGENT, CONTROL, POLICY = (Ed25519PrivateKey.from_private_bytes(c * 32) for c in (b"a", b"c", b"p"))
CERTIFICATES = (b"A" * 32, b"C" * 32)

Case = dict[str, Any]


def pack(value: Any) -> bytes:
    """Canonical msgpack."""
    match value:
        case int():
            return _integer(value)
        case str():
            data = value.encode()
            return _head(len(data), (0xA0, 32), (b"\xd9", b"\xda", b"\xdb")) + data
        case bytes():
            return _head(len(value), None, (b"\xc4", b"\xc5", b"\xc6")) + value
        case list():
            return _head(len(value), (0x90, 16), (None, b"\xdc", b"\xdd")) + b"".join(
                pack(item) for item in value
            )
        case dict():
            pairs = b"".join(pack(key) + pack(value[key]) for key in sorted(value))
            return _head(len(value), (0x80, 16), (None, b"\xde", b"\xdf")) + pairs
    raise TypeError(type(value))


def _integer(value: int) -> bytes:
    if value < 128:  # noqa: PLR2004 - a positive fixint
        return bytes([value])
    for limit, code, size in ((8, b"\xcc", ">B"), (16, b"\xcd", ">H"), (32, b"\xce", ">I")):
        if value < 1 << limit:
            return code + struct.pack(size, value)
    return b"\xcf" + struct.pack(">Q", value)


def _head(size: int, fix: tuple[int, int] | None, codes: tuple[bytes | None, ...]) -> bytes:
    if fix is not None and size < fix[1]:
        return bytes([fix[0] | size])
    for code, limit, form in zip(codes, (8, 16, 32), (">B", ">H", ">I"), strict=True):
        if code is not None and size < 1 << limit:
            return code + struct.pack(form, size)
    raise ValueError("too long")


def session_id(version: int = 1) -> bytes:
    """Of acme/prod with the fixed certificates and nonces."""
    names = b"\x04acme\x04prod"
    domain = b"freehold-link-session-v1\0" + struct.pack(">H", version)
    data = domain + b"".join((*CERTIFICATES, *NONCES)) + names
    return hashlib.sha256(data).digest()[:16]


def sign(key: Ed25519PrivateKey, way: bytes, envelope: bytes) -> bytes:
    """A frame."""
    return key.sign(b"freehold-link-v1\0" + way + envelope) + envelope


def envelope(message_type: str, payload: Any, **changes: Any) -> dict[str, Any]:
    """An envelope as a map; its payload is in place."""
    version = SINCE.get(message_type, 1)
    session = session_id(version)
    base = {"version": version, "timestamp": WALL, "vault_id": "prod", "session": session, "seq": 1}
    return {**base, "ack": 0, "id": 0, "message_type": message_type, "payload": payload, **changes}


def frames() -> list[Case]:
    """One frame of each type, and frames that must be refused."""
    cases = []
    for name, (way, id_, payload) in MESSAGES.items():
        greeting = {"session": bytes(16), "seq": 0} if name == "hello" else {}
        data = pack(envelope(name, payload, id=id_, **greeting))
        frame = sign(AGENT if way == UP else CONTROL, way, data)
        case = _frame(f"a {name}", "success", way, frame) | {"payload": pack(payload).hex()}
        cases.append(case | ({"version": SINCE[name]} if name in SINCE else {}))
    ping = envelope("ping", {"number": 7})
    good = pack(ping)
    number = pack("number")
    twice = good.replace(b"\x81" + number + b"\x07", b"\x82" + number + b"\x01" + number + b"\x07")
    bad = {
        "frame_size": {"nothing": b"", "only a signature": bytes(64), "too long": bytes(262_145)},
        "signature": {
            "another key": sign(CONTROL, UP, good),
            "another direction": sign(AGENT, DOWN, good),
            "no domain": AGENT.sign(UP + good) + good,
            "a byte changed": sign(AGENT, UP, good)[:-1] + b"\x08",
        },
        "malformed": {
            "a byte more": sign(AGENT, UP, good + b"\0"),
            "an unknown field": sign(AGENT, UP, pack({**ping, "zone": 1})),
            "a missing field": sign(AGENT, UP, pack({k: ping[k] for k in ping if k != "ack"})),
            "an unknown type": sign(AGENT, UP, pack({**ping, "message_type": "secret"})),
            "an unknown field in the payload": sign(
                AGENT, UP, pack({**ping, "payload": {"number": 7, "x": 1}})
            ),
            "a number beyond 63 bits": sign(
                AGENT, UP, pack({**ping, "payload": {"number": 2**63}})
            ),
            "a vault in capitals": sign(AGENT, UP, pack({**ping, "vault_id": "Prod"})),
        },
        "not_canonical": {
            "a long number": sign(AGENT, UP, good.replace(number + b"\x07", number + b"\xcc\x07")),
            "a duplicate key": sign(AGENT, UP, twice),
            "unsorted keys": sign(AGENT, UP, _unsorted(ping)),
        },
        "version": {
            "version 2": sign(AGENT, UP, pack({**ping, "version": 2})),
            "a message of version 2": sign(
                AGENT,
                UP,
                pack({**envelope("replay_result", MESSAGES["replay_result"][2]), "version": 1}),
            ),
        },
        "direction": {
            "a command upwards": sign(
                AGENT, UP, pack(envelope("command", MESSAGES["command"][2], id=1))
            )
        },
        "durable_id": {
            "a ping with an id": sign(AGENT, UP, pack({**ping, "id": 1})),
            "an alert without": sign(AGENT, UP, pack(envelope("alert", MESSAGES["alert"][2]))),
        },
    }
    for fault, named in bad.items():
        cases += [_frame(name, fault, UP, frame) for name, frame in named.items()]
    return cases


def _unsorted(value: dict[str, Any]) -> bytes:
    return b"\x89" + b"".join(pack(key) + pack(value[key]) for key in sorted(value, reverse=True))


def _frame(name: str, expect: str, way: bytes, frame: bytes) -> Case:
    if len(frame) > 2000:  # noqa: PLR2004 - too much to print
        return {"name": name, "expect": expect, "direction": way[0], "zeros": len(frame)}
    return {"name": name, "expect": expect, "direction": way[0], "frame": frame.hex()}


def bundles() -> list[Case]:
    """For the agent acme/prod with a stored version and a time."""
    first = {
        "org": "acme",
        "vault": "prod",
        "version": 1,
        "prev_hash": bytes(32),
        "not_before": WALL,
        "expires": WALL + 1000,
        "rules": [b'{"name":"readers"}'],
    }
    stored = hashlib.sha256(pack(first)).digest()
    second = {**first, "version": 2, "prev_hash": stored}
    cases = [
        _bundle("the first", "success", first, 0, bytes(32)),
        _bundle("the second, for every vault", "success", {**second, "vault": "*"}, 1, stored),
        _bundle("one that leaves versions out", "success", {**first, "version": 9}, 1, stored),
        _bundle("of another organization", "wrong_org", {**first, "org": "x"}, 0, bytes(32)),
        _bundle("for another vault", "wrong_vault", {**first, "vault": "x"}, 0, bytes(32)),
        _bundle("the stored one again", "older", first, 1, stored),
        _bundle("another of the same version", "equivocation", first, 1, bytes(32)),
        _bundle("not the successor", "broken_chain", {**first, "version": 2}, 1, stored),
        _bundle("too early", "not_yet_valid", first, 0, bytes(32), WALL - 1),
        _bundle("too late", "expired", first, 0, bytes(32), WALL + 1000),
        _bundle("not in form", "malformed", {**first, "more": 1}, 0, bytes(32)),
    ]
    link = AGENT.sign(b"freehold-policy-v1\0" + pack(first)) + pack(first)
    foreign = _bundle("signed by another key", "signature", first, 0, bytes(32))
    return [*cases, {**foreign, "bundle": link.hex()}]


def _bundle(  # noqa: PLR0917 - one column of a table each
    name: str, expect: str, value: Any, version: int, stored: bytes, now: int = WALL
) -> Case:
    data = pack(value)
    return {
        "name": name,
        "expect": expect,
        "stored_version": version,
        "stored_hash": stored.hex(),
        "now": now,
        "bundle": (POLICY.sign(b"freehold-policy-v1\0" + data) + data).hex(),
        "hash": hashlib.sha256(data).hexdigest(),
    }


def build() -> dict[str, Any]:
    """The whole file."""
    publics = {"agent": AGENT, "control": CONTROL, "policy": POLICY}
    return {
        "public_keys": {n: key.public_key().public_bytes_raw().hex() for n, key in publics.items()},
        "session": {
            "org": "acme",
            "vault": "prod",
            "agent_certificate": CERTIFICATES[0].hex(),
            "control_certificate": CERTIFICATES[1].hex(),
            "agent_nonce": NONCES[0].hex(),
            "control_nonce": NONCES[1].hex(),
            "id": session_id().hex(),
            "id_of_version_2": session_id(2).hex(),
        },
        "frames": frames(),
        "bundles": bundles(),
    }


def render(vectors: dict[str, Any]) -> str:
    """The file's text."""
    return json.dumps(vectors, indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    TARGET.write_text(render(build()))
