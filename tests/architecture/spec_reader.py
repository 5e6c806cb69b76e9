"""A reader of link frames and bundles that knows docs/spec alone: no code of ours is in it.

Fields, bounds and words come from the tables of docs/spec/link-messages.md. What link.md says in
sentences (order of checks, canonical form, signatures) is written here by hand. If a vector cannot
be decided by this, the text is what is wrong.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNATURE: Final = 64
MAX_FRAME: Final = 262_144
MAX_BUNDLE: Final = 196_608
MOST: Final = 2**63 - 1
DEEPEST: Final = 16
_SIZED: Final = r"(byte string|string), (\d+)(?: to (\d+))? (?:bytes|characters)"
ONCE: Final = {
    "metrics": [("counters", "name"), ("gauges", "name"), ("histograms", "name")],
    "usage": [("operations", "name"), ("named", "secret"), ("identities", "identity")],
    "replay_result": [("undecided", "reason"), ("changes", "identity", "secret")],
}
"""What comes at most once: the sentences beside the tables."""


class RefusedError(Exception):
    """The word of the fault or reason."""


@dataclass
class Pages:
    """The tables of link-messages.md."""

    kinds: dict[str, tuple[str, str]] = field(default_factory=dict)
    maps: dict[str, dict[str, str]] = field(default_factory=dict)
    words: dict[str, list[str]] = field(default_factory=dict)
    messages: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    """Message → way, class, version that it came with."""


def read_pages(text: str) -> Pages:
    """The tables, by the headings that they stand under."""
    pages = Pages()
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        first, *parts = re.split(r"^### ", body, flags=re.MULTILINE)
        if title == "Kinds":
            pages.kinds = {n: (is_, _plain(p)) for n, is_, p, _ in _rows(first)}
        elif title == "Words":
            for part in parts:
                name, _, listed = part.partition("\n")
                *_, last = listed.strip().split("\n")
                pages.words[_plain(name)] = re.findall(r"`([a-z0-9_.]+)`", last)
        elif title in {"Envelope", "Policy bundle"}:
            pages.maps[title] = {row[0]: row[1] for row in _rows(first)}
        elif title == "Messages":
            pages.messages = {n: (w, c, int(since)) for n, w, c, since in _rows(first)}
        for part in parts if title in {"Messages", "Maps in messages"} else ():
            name, _, table = part.partition("\n")
            pages.maps[_plain(name)] = {row[0]: row[1] for row in _rows(table)}
    return pages


def _rows(table: str) -> Iterator[list[str]]:
    """The cells of each row behind the line of dashes."""
    behind = False
    for line in table.split("\n"):
        if line.startswith("|---"):
            behind = True
        elif behind and line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            first, *others = (cell.strip().replace("\\|", "|") for cell in cells)
            yield [_plain(first), *others]


def _plain(cell: str) -> str:
    return cell.strip().removeprefix("`").removesuffix("`")


# --- msgpack, as link.md says: its form, and its canonical form -----------------------------------


@dataclass
class Packed:
    """A value, and whether its bytes are the canonical ones."""

    value: Any
    canonical: bool
    end: int


def unpack(data: bytes, at: int = 0, depth: int = 0) -> Packed:
    """The value that begins there. Raises `RefusedError`: what the link has no type for."""
    if depth > DEEPEST or at >= len(data):
        raise RefusedError("malformed")
    code = data[at]
    at += 1
    if code < 0x80:
        return Packed(code, canonical=True, end=at)
    for low, high, many in ((0x80, 0x8F, _map), (0x90, 0x9F, _array), (0xA0, 0xBF, _text)):
        if low <= code <= high:
            return many(data, at, code - low, depth, short=True)
    sized = {
        0xC4: (_bytes, 1, 0), 0xC5: (_bytes, 2, 2**8), 0xC6: (_bytes, 4, 2**16),
        0xCC: (_whole, 1, 128), 0xCD: (_whole, 2, 2**8),
        0xCE: (_whole, 4, 2**16), 0xCF: (_whole, 8, 2**32),
        0xD0: (_signed, 1, 0), 0xD1: (_signed, 2, 0), 0xD2: (_signed, 4, 0), 0xD3: (_signed, 8, 0),
        0xD9: (_text, 1, 32), 0xDA: (_text, 2, 2**8), 0xDB: (_text, 4, 2**16),
        0xDC: (_array, 2, 16), 0xDD: (_array, 4, 2**16),
        0xDE: (_map, 2, 16), 0xDF: (_map, 4, 2**16),
    }  # fmt: skip
    if code not in sized or at + sized[code][1] > len(data):
        raise RefusedError("malformed")  # nil, booleans, floats, negatives, extensions; cut off
    kind, width, least = sized[code]
    number = int.from_bytes(data[at : at + width], "big")
    if kind is _signed and number >= 1 << (8 * width - 1):
        raise RefusedError("malformed")
    return kind(data, at + width, number, depth, short=number >= least)


def _whole(_: bytes, at: int, number: int, __: int, *, short: bool) -> Packed:
    return Packed(number, short, at)


def _signed(_: bytes, at: int, number: int, __: int, *, short: bool) -> Packed:
    return Packed(number, canonical=False, end=at)  # an unsigned form is the shortest


def _bytes(data: bytes, at: int, size: int, _: int, *, short: bool) -> Packed:
    if at + size > len(data):
        raise RefusedError("malformed")
    return Packed(data[at : at + size], short, at + size)


def _text(data: bytes, at: int, size: int, _: int, *, short: bool) -> Packed:
    found = _bytes(data, at, size, 0, short=short)
    try:
        return Packed(found.value.decode(), short, found.end)
    except UnicodeDecodeError:
        raise RefusedError("malformed") from None


def _array(data: bytes, at: int, count: int, depth: int, *, short: bool) -> Packed:
    found: list[Any] = []
    for _ in range(count):
        item = unpack(data, at, depth + 1)
        found.append(item.value)
        short, at = short and item.canonical, item.end
    return Packed(found, short, at)


def _map(data: bytes, at: int, count: int, depth: int, *, short: bool) -> Packed:
    found: dict[str, Any] = {}
    last = None
    for _ in range(count):
        key = unpack(data, at, depth + 1)
        value = unpack(data, key.end, depth + 1)
        if not isinstance(key.value, str):
            raise RefusedError("malformed")
        spelled = key.value.encode()
        sorted_ = last is None or last < spelled
        short = short and key.canonical and value.canonical and sorted_
        found[key.value], last, at = value.value, spelled, value.end
    return Packed(found, short, at)


# --- types ----------------------------------------------------------------------------------------


def fits(pages: Pages, type_: str, value: Any) -> bool:
    """Whether a value is of the type that a cell names."""
    if made := re.fullmatch(r"array of (.+), (\d+) to (\d+)", type_):
        item, low, high = made[1], int(made[2]), int(made[3])
        sized = isinstance(value, list) and low <= len(value) <= high
        return sized and all(fits(pages, item, each) for each in value)
    if made := re.fullmatch(r"integer, (\d+) to (\d+)", type_):
        return isinstance(value, int) and int(made[1]) <= value <= int(made[2])
    if made := re.fullmatch(
        r"(byte string|string), (\d+)(?: to (\d+))? (?:bytes|characters)", type_
    ):
        low, high = int(made[2]), int(made[3] or made[2])
        shape = bytes if made[1] == "byte string" else str
        return isinstance(value, shape) and low <= len(value) <= high
    name = _plain(type_)
    if name in pages.kinds:
        bounds, pattern = pages.kinds[name]
        matching = not pattern or (isinstance(value, str) and bool(re.fullmatch(pattern, value)))
        return matching and fits(pages, bounds, value)
    if name in pages.words:
        return value in pages.words[name]
    if name in pages.maps:
        return has_fields(pages, name, value)
    raise AssertionError(f"the page does not say what {type_!r} is")


def has_fields(pages: Pages, table: str, value: Any, *, without: str = "") -> bool:
    """Whether a map has exactly the fields of this table, each of its type."""
    wanted = pages.maps[table]
    if not isinstance(value, dict) or set(value) != set(wanted):
        return False
    return all(fits(pages, wanted[name], value[name]) for name in wanted if name != without)


def said_once(message: str, value: dict[str, Any]) -> bool:
    """The sentences beside the tables."""
    if message == "policy_replay":
        return sum(map(len, value["rules"])) <= MAX_BUNDLE
    for array, *names in ONCE.get(message, ()):
        keys = [tuple(item[name] for name in names) for item in value[array]]
        if len(set(keys)) != len(keys):
            return False
    return True


# --- frames and bundles ---------------------------------------------------------------------------


def signed(key: bytes, message: bytes, signature: bytes) -> bool:
    """Ed25519."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def open_frame(pages: Pages, frame: bytes, way: int, key: bytes, version: int) -> bytes:
    """The payload's bytes of a frame, in a session of this version. Raises `RefusedError`."""
    if not SIGNATURE < len(frame) <= MAX_FRAME:
        raise RefusedError("frame_size")
    data = frame[SIGNATURE:]
    if not signed(key, b"freehold-link-v1\0" + bytes([way]) + data, frame[:SIGNATURE]):
        raise RefusedError("signature")
    envelope, payload = _envelope(pages, data)
    name = envelope["message_type"]
    goes, delivery, since = pages.messages[name]
    if envelope["version"] != version or since > version:
        raise RefusedError("version")
    if goes not in {"both", "agent" if way == 1 else "control"}:
        raise RefusedError("direction")
    if (delivery == "ephemeral") != (envelope["id"] == 0):
        raise RefusedError("durable_id")
    found = unpack(payload)
    if not has_fields(pages, name, found.value) or not said_once(name, found.value):
        raise RefusedError("malformed")
    if not found.canonical:
        raise RefusedError("not_canonical")
    return payload


def _envelope(pages: Pages, data: bytes) -> tuple[dict[str, Any], bytes]:
    """The envelope, its payload as it lies there; what is in that is looked at later."""
    at, canonical, count = _head(data)
    found: dict[str, Any] = {}
    payload, last = b"", b""
    for _ in range(count):
        key = unpack(data, at)
        if not isinstance(key.value, str):
            raise RefusedError("malformed")
        spelled = key.value.encode()
        if key.value == "payload":
            at = skip(data, key.end)
            payload, value = data[key.end : at], Packed(None, canonical=True, end=at)
        else:
            value = unpack(data, key.end)
            at = value.end
        canonical = canonical and key.canonical and value.canonical and last < spelled
        found[key.value], last = value.value, spelled
    if at != len(data) or not has_fields(pages, "Envelope", found, without="payload"):
        raise RefusedError("malformed")
    if not canonical:
        raise RefusedError("not_canonical")
    return found, payload


def _head(data: bytes) -> tuple[int, bool, int]:
    """Where the envelope's first key is, and how many there are."""
    code = data[0]
    if 0x80 <= code <= 0x8F:
        return 1, True, code - 0x80
    width = {0xDE: 2, 0xDF: 4}.get(code)
    if width is None or len(data) <= width:
        raise RefusedError("malformed")
    count = int.from_bytes(data[1 : 1 + width], "big")
    return 1 + width, False, count  # nine fields have a shorter form


def skip(data: bytes, at: int) -> int:
    """The end of one value of any type that msgpack has."""
    left = 1
    while left:
        if at >= len(data):
            raise RefusedError("malformed")
        code, left = data[at], left - 1
        at += 1
        fixed = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4,
                 0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}  # fmt: skip
        widths = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4,
                  0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}  # fmt: skip
        if 0x80 <= code <= 0x8F:
            left += 2 * (code - 0x80)
        elif 0x90 <= code <= 0x9F:
            left += code - 0x90
        elif 0xA0 <= code <= 0xBF:
            at += code - 0xA0
        elif code == 0xC1:
            raise RefusedError("malformed")
        elif code in fixed:
            at += fixed[code]
        elif code in widths:
            count = int.from_bytes(data[at : at + widths[code]], "big")
            at += widths[code]
            if code >= 0xDC:
                left += count * (2 if code >= 0xDE else 1)
            else:
                at += count + (1 if 0xC7 <= code <= 0xC9 else 0)
        if at > len(data):
            raise RefusedError("malformed")
    return at


def open_bundle(
    pages: Pages, given: bytes, key: bytes, *, stored: tuple[int, bytes], now: int
) -> bytes:
    """The hash of a bundle that the agent acme/prod takes. Raises `RefusedError`."""
    if not SIGNATURE < len(given) <= SIGNATURE + MAX_BUNDLE:
        raise RefusedError("size")
    data = given[SIGNATURE:]
    if not signed(key, b"freehold-policy-v1\0" + data, given[:SIGNATURE]):
        raise RefusedError("signature")
    found = unpack(data)
    bundle = found.value
    if found.end != len(data) or not has_fields(pages, "Policy bundle", bundle):
        raise RefusedError("malformed")
    if not found.canonical:
        raise RefusedError("not_canonical")
    digest, (version, there) = hashlib.sha256(data).digest(), stored
    most = version + 1_000_000 if version else 2**53
    checks = [
        ("wrong_org", bundle["org"] != "acme"),
        ("wrong_vault", bundle["vault"] not in {"prod", "*"}),
        ("equivocation", bundle["version"] == version and digest != there),
        ("older", bundle["version"] <= version),
        ("broken_chain", bundle["version"] == version + 1 and bundle["prev_hash"] != there),
        ("broken_chain", bundle["version"] > most),
        ("not_yet_valid", now < bundle["not_before"]),
        ("expired", now >= bundle["expires"]),
    ]
    for reason, is_so in checks:
        if is_so:
            raise RefusedError(reason)
    return digest
