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

from tools.link_messages import MESSAGES, NONCES, SINCE_VERSION, TO_AGENT, TO_CONTROL, WALL_MS

TARGET = Path(__file__).parent.parent / "tests" / "vectors" / "link.json"
AGENT, CONTROL, POLICY = (Ed25519PrivateKey.from_private_bytes(c * 32) for c in (b"a", b"c", b"p"))
CERTIFICATES = (b"A" * 32, b"C" * 32)

Case = dict[str, Any]


class PackedBytes(bytes):
    """Bytes that stand in a packed value as they are."""


def pack(value: Any) -> bytes:
    """Canonical msgpack."""
    match value:
        case PackedBytes():
            return bytes(value)
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
    version = SINCE_VERSION.get(message_type, 1)
    session = session_id(version)
    base = {
        "version": version,
        "timestamp": WALL_MS,
        "vault_id": "prod",
        "session": session,
        "seq": 1,
    }
    return {**base, "ack": 0, "id": 0, "message_type": message_type, "payload": payload, **changes}


def frames() -> list[Case]:
    """One frame of each type, and frames that must be refused."""
    cases = []
    for name, (way, id_, payload) in MESSAGES.items():
        greeting = {"session": bytes(16), "seq": 0} if name == "hello" else {}
        data = pack(envelope(name, payload, id=id_, **greeting))
        frame = sign(AGENT if way == TO_CONTROL else CONTROL, way, data)
        case = _frame(f"a {name}", "success", way, frame) | {"payload": pack(payload).hex()}
        cases.append(case | ({"version": SINCE_VERSION[name]} if name in SINCE_VERSION else {}))
    ping = envelope("ping", {"number": 7})
    good = pack(ping)
    number = pack("number")
    twice = good.replace(b"\x81" + number + b"\x07", b"\x82" + number + b"\x01" + number + b"\x07")
    bad = {
        "frame_size": {"nothing": b"", "only a signature": bytes(64), "too long": bytes(262_145)},
        "signature": {
            "another key": sign(CONTROL, TO_CONTROL, good),
            "another direction": sign(AGENT, TO_AGENT, good),
            "no domain": AGENT.sign(TO_CONTROL + good) + good,
            "a byte changed": sign(AGENT, TO_CONTROL, good)[:-1] + b"\x08",
        },
        "malformed": {
            "a byte more": sign(AGENT, TO_CONTROL, good + b"\0"),
            "an unknown field": sign(AGENT, TO_CONTROL, pack({**ping, "zone": 1})),
            "a missing field": sign(
                AGENT, TO_CONTROL, pack({k: ping[k] for k in ping if k != "ack"})
            ),
            "an unknown type": sign(AGENT, TO_CONTROL, pack({**ping, "message_type": "secret"})),
            "an unknown field in the payload": sign(
                AGENT, TO_CONTROL, pack({**ping, "payload": {"number": 7, "x": 1}})
            ),
            "a number beyond 63 bits": sign(
                AGENT, TO_CONTROL, pack({**ping, "payload": {"number": 2**63}})
            ),
            "a vault in capitals": sign(AGENT, TO_CONTROL, pack({**ping, "vault_id": "Prod"})),
            **_strange(ping),
        },
        "not_canonical": {
            "a long number": sign(
                AGENT, TO_CONTROL, good.replace(number + b"\x07", number + b"\xcc\x07")
            ),
            "a duplicate key": sign(AGENT, TO_CONTROL, twice),
            "unsorted keys": sign(AGENT, TO_CONTROL, _unsorted(ping)),
            "a positive number in a signed form": sign(
                AGENT, TO_CONTROL, pack({**ping, "payload": {"number": PackedBytes(b"\xd0\x07")}})
            ),
            "a long map": sign(AGENT, TO_CONTROL, b"\xde\x00\x09" + good[1:]),
            "a long string": sign(AGENT, TO_CONTROL, good.replace(pack("prod"), b"\xd9\x04prod")),
            "long bytes": sign(AGENT, TO_CONTROL, pack({**ping, "session": _long(session_id())})),
        },
        "version": {
            "version 2": sign(AGENT, TO_CONTROL, pack({**ping, "version": 2})),
            "a message of version 2": sign(
                AGENT,
                TO_CONTROL,
                pack({**envelope("replay_result", MESSAGES["replay_result"][2]), "version": 1}),
            ),
            "version 2, another direction, a wrong payload": sign(
                AGENT, TO_CONTROL, pack({**envelope("observe", 7), "version": 2})
            ),
        },
        "direction": {
            "a command upwards": sign(
                AGENT, TO_CONTROL, pack(envelope("command", MESSAGES["command"][2], id=1))
            ),
            "a command upwards without an id, of no form": sign(
                AGENT, TO_CONTROL, pack(envelope("command", {"more": 1}))
            ),
        },
        "durable_id": {
            "a ping with an id": sign(AGENT, TO_CONTROL, pack({**ping, "id": 1})),
            "an alert without": sign(
                AGENT, TO_CONTROL, pack(envelope("alert", MESSAGES["alert"][2]))
            ),
            "a ping with an id, of no form": sign(
                AGENT, TO_CONTROL, pack({**ping, "id": 1, "payload": {"more": 1}})
            ),
        },
    }
    for fault, named in bad.items():
        cases += [_frame(name, fault, TO_CONTROL, frame) for name, frame in named.items()]
    return cases


def _strange(ping: dict[str, Any]) -> dict[str, bytes]:
    """What msgpack has and the link has not, and what no table has."""
    numbers = {
        "a double for a number": b"\xcb" + struct.pack(">d", 7.0),
        "a single for a number": b"\xca" + struct.pack(">f", 7.0),
        "nil for a number": b"\xc0",
        "true for a number": b"\xc3",
        "a negative number": b"\xff",
        "an extension for a number": b"\xd4\x01\x07",
        "a time for a number": b"\xd6\xff\x00\x00\x00\x07",
        "a string for a number": pack("7"),
        "arrays 1,500 deep": b"\x91" * 1_500 + b"\x07",
        "maps 300 deep": b"\x81\xa1x" * 300 + b"\x07",
        "a code that is never used": b"\xc1",
    }
    bye, metrics = MESSAGES["bye"][2], MESSAGES["metrics"][2]
    checkpoint, register = MESSAGES["audit_checkpoint"][2], MESSAGES["registration"][2]
    payloads: dict[str, tuple[str, int, Any]] = {
        "an array for a map": ("ping", 0, [7]),
        "nothing for a map": ("ping", 0, PackedBytes(b"\xc0")),
        "a number as a key": ("ping", 0, PackedBytes(b"\x82\x01\x02" + pack("number") + b"\x07")),
        "a word of no list": ("bye", 0, {**bye, "reason": "tired"}),
        "bytes for a word": ("bye", 0, {**bye, "reason": b"restart"}),
        "a field that is missing": ("bye", 0, {"reason": "restart"}),
        "a metric twice": ("metrics", 1, {**metrics, "counters": metrics["counters"] * 2}),
        "a class too few": (
            "metrics", 1,
            {**metrics, "histograms": [{**metrics["histograms"][0], "counts": [1] * 14}]},
        ),
        "an unknown field of a map within": (
            "metrics", 1, {**metrics, "gauges": [{**metrics["gauges"][0], "more": 1}]}
        ),
        "a hash of 31 bytes": ("registration", 0, {**register, "policy_hash": bytes(31)}),
        "a hash as a string": ("registration", 0, {**register, "policy_hash": "0" * 32}),
        "a release with a newline": ("registration", 0, {**register, "release": "0.1.0\n"}),
        "an empty release": ("registration", 0, {**register, "release": ""}),
        "a proof of 65 hashes": ("audit_checkpoint", 1, {**checkpoint, "proof": [bytes(32)] * 65}),
        "a note that says more": (
            "audit_checkpoint", 1, {**checkpoint, "note": checkpoint["note"] + "more\n"}
        ),
        "a size of 0": ("audit_checkpoint", 1, {**checkpoint, "size": 0}),
        "a count of 2^63": ("skipped", 1, {"first": 2**63, "reason": "dropped"}),
    }  # fmt: skip
    found = {
        name: {**ping, "payload": {"number": PackedBytes(raw)}} for name, raw in numbers.items()
    }
    found |= {
        name: envelope(kind, payload, id=id_) for name, (kind, id_, payload) in payloads.items()
    }
    found |= {
        "a number in a double in the envelope": {**ping, "seq": PackedBytes(b"\xcb" + bytes(8))},
        "a session of 15 bytes": {**ping, "session": bytes(15)},
        "a version of 0": {**ping, "version": 0},
        "a version of 65,536": {**ping, "version": 65_536},
        "a name that ends in a hyphen": {**ping, "vault_id": "prod-"},
        "a name of 65 characters": {**ping, "vault_id": "p" * 65},
        "a payload that is cut off": {**ping, "payload": PackedBytes(b"\xa5abc")},
    }
    return {name: sign(AGENT, TO_CONTROL, pack(value)) for name, value in found.items()}


def _long(data: bytes) -> PackedBytes:
    return PackedBytes(b"\xc5" + struct.pack(">H", len(data)) + data)


def _unsorted(value: dict[str, Any]) -> bytes:
    return b"\x89" + b"".join(pack(key) + pack(value[key]) for key in sorted(value, reverse=True))


def _frame(name: str, expect: str, way: bytes, frame: bytes) -> Case:
    if len(frame) > 4000:  # noqa: PLR2004 - too much to print
        return {"name": name, "expect": expect, "direction": way[0], "zeros": len(frame)}
    return {"name": name, "expect": expect, "direction": way[0], "frame": frame.hex()}


def bundles() -> list[Case]:
    """For the agent acme/prod with a stored version and a time."""
    first = {
        "org": "acme",
        "vault": "prod",
        "version": 1,
        "prev_hash": bytes(32),
        "not_before": WALL_MS,
        "expires": WALL_MS + 1000,
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
        _bundle("too early", "not_yet_valid", first, 0, bytes(32), WALL_MS - 1),
        _bundle("too late", "expired", first, 0, bytes(32), WALL_MS + 1000),
        _bundle("not in form", "malformed", {**first, "more": 1}, 0, bytes(32)),
        *_steps(first, stored),
        _bundle("version 0", "malformed", {**first, "version": 0}, 0, bytes(32)),
        _bundle("a rule as a string", "malformed", {**first, "rules": ["{}"]}, 0, bytes(32)),
        _bundle("a rule of one byte", "malformed", {**first, "rules": [b"1"]}, 0, bytes(32)),
        _bundle("501 rules", "malformed", {**first, "rules": [b"{}"] * 501}, 0, bytes(32)),
        _bundle("without rules", "success", {**first, "rules": []}, 0, bytes(32)),
        _bundle("in capitals", "malformed", {**first, "vault": "Prod"}, 0, bytes(32)),
        _bundle(
            "late and of another", "wrong_org", {**first, "org": "x"}, 0, bytes(32), WALL_MS * 2
        ),
        _bundle("late and old", "older", first, 9, stored, WALL_MS * 2),
    ]
    link = AGENT.sign(b"freehold-policy-v1\0" + pack(first)) + pack(first)
    foreign = _bundle("signed by another key", "signature", first, 0, bytes(32))
    return [*cases, {**foreign, "bundle": link.hex()}]


def _steps(first: dict[str, Any], stored: bytes) -> list[Case]:
    """How far a version may be above the stored one."""
    steps = [
        (0, 2**53, "success"), (0, 2**53 + 1, "broken_chain"), (0, 2**63 - 1, "broken_chain"),
        (0, 2**63, "malformed"), (0, 2**64 - 1, "malformed"),
        (1, 1_000_001, "success"), (1, 1_000_002, "broken_chain"), (1, 2**63 - 1, "broken_chain"),
        (2**63 - 1, 2**63 - 1, "equivocation"), (2**63 - 2, 5, "older"),
    ]  # fmt: skip
    return [
        _bundle(
            f"version {version} above {there}", expect, {**first, "version": version}, there,
            stored if there else bytes(32),
        )
        for there, version, expect in steps
    ]  # fmt: skip


def _bundle(  # noqa: PLR0917 - one column of a table each
    name: str, expect: str, value: Any, version: int, stored: bytes, now: int = WALL_MS
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
