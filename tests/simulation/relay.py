"""A relay that somebody hostile owns: it sees through TLS and changes what it carries.

That is more than a network can do to TLS; it is what the link's own signatures and numbers are for.
Whatever it does to a frame, the first frame that is out of its place has to end the connection.
"""

import random
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Raw

from protocols.link import codec
from protocols.link.envelope import Envelope
from protocols.link.fields import SIGNATURE_SIZE
from tests.simulation.wire import Way

HARMS: Final = ("flip", "forge", "drop", "repeat", "swap", "replay")
_REMEMBERED: Final = 30


class HostileRelay:
    """Between one agent and the control plane; harms the next frame of a way when told to."""

    def __init__(self, chance: random.Random, told: Callable[[str], None]) -> None:
        self._chance = chance
        self._told = told
        self._next: dict[str, str] = {}
        self._seen: dict[str, deque[bytes]] = {
            name: deque(maxlen=_REMEMBERED) for name in ("up", "down")
        }
        self._missing: set[Way] = set()
        self._held: dict[Way, bytes] = {}

    def plan(self, way: str, harm: str) -> None:
        """Do this to the next frame that goes this way."""
        self._next[way] = harm

    def calm(self) -> None:
        """Nothing is planned any more."""
        self._next.clear()

    def carry(self, way: Way, frame: bytes) -> None:
        """A frame comes from its sender."""
        if way in self._held:  # its follower overtakes it
            way.put(frame, bad=True)
            way.put(self._held.pop(way), bad=True)
            return
        bad = way in self._missing
        self._missing.discard(way)
        harm = self._next.pop(way.name, "")
        if harm:
            self._told(f"{way.name} {harm}")
        self._do(harm, way, frame, bad)
        self._seen[way.name].append(frame)

    def _do(self, harm: str, way: Way, frame: bytes, bad: bool) -> None:
        match harm:
            case "flip":
                way.put(self._flipped(frame), bad=True)
            case "forge":
                way.put(_forged(frame), bad=True)
            case "drop":
                self._missing.add(way)
            case "repeat":
                way.put(frame, bad)
                way.put(frame, bad=True)
            case "swap":
                self._held[way] = frame
            case "replay" if self._seen[way.name]:
                way.put(self._chance.choice(list(self._seen[way.name])), bad=True)
                way.put(frame, bad)
            case _:
                way.put(frame, bad)

    def _flipped(self, frame: bytes) -> bytes:
        at = self._chance.randrange(len(frame))
        return frame[:at] + bytes([frame[at] ^ 1 << self._chance.randrange(8)]) + frame[at + 1 :]


def _forged(frame: bytes) -> bytes:
    """Well formed, but one of its numbers is another; the signature stays what it was."""
    envelope = codec.decode_struct(frame[SIGNATURE_SIZE:], Envelope)
    payload = msgspec.msgpack.decode(envelope.payload)
    for name, value in payload.items():
        if isinstance(value, int):
            payload[name] = value + 1
            break
    forged = msgspec.structs.replace(
        envelope, timestamp=envelope.timestamp + 1, payload=Raw(_packed(payload))
    )
    return frame[:SIGNATURE_SIZE] + codec.encode_struct(forged)


def _packed(payload: dict[str, Any]) -> bytes:
    return msgspec.msgpack.Encoder(order="sorted").encode(payload)
