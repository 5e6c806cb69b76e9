"""A wire between two hosts that carries real IP packets, late, twice, out of order or not at all.

The kernel's own emulator (`tc netem`) is a module that not every kernel has; this is a thread that
moves packets between two TUN devices. Each direction has its own faults, drawn from one seed.
"""

import heapq
import os
import random
import select
import struct
import threading
import time
from dataclasses import dataclass, field
from itertools import count
from typing import BinaryIO, Final

MTU: Final = 1500
QUEUE: Final = 1000
"""Packets on their way in one direction; more are dropped, as by any router."""
_LINKTYPE_RAW: Final = 101  # pcap: packets begin with their IP header
_SNAP: Final = 65_535


@dataclass
class Way:
    """How one direction treats its packets. Seconds, bits a second, shares from 0 to 1."""

    blocked: bool = False
    delay: float = 0.0
    rate: float = 0.0
    """0: without bound."""
    loss: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    """The share that is held back by another `hold`, so that later ones overtake it."""
    hold: float = 0.05
    carried: int = 0
    dropped: int = 0
    repeated: int = 0
    overtaken: int = 0
    _free: float = field(default=0.0, repr=False)


class Wire:
    """Two ends, each the descriptor of a TUN device; `there` is from the first to the second."""

    def __init__(self, first: int, second: int, seed: int = 1) -> None:
        self.there, self.back = Way(), Way()
        self._ends = {first: (second, self.there), second: (first, self.back)}
        self._random = random.Random(seed)  # noqa: S311  # which packet is lost is no secret
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._order = count()
        self._capture: BinaryIO | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wire")
        self._thread.start()

    @property
    def ways(self) -> tuple[Way, Way]:
        """Both."""
        return self.there, self.back

    def close(self) -> None:
        """No packet moves any more; the devices are gone."""
        self._over.set()
        self._thread.join()
        for end in self._ends:
            os.close(end)

    def capture(self, into: BinaryIO) -> None:
        """From now on write every packet that enters the wire, as a pcap file."""
        with self._lock:
            into.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _SNAP, _LINKTYPE_RAW))
            self._capture = into

    def captured(self) -> None:
        """Stop writing; the file is whole and the caller's again."""
        with self._lock:
            if self._capture is not None:
                self._capture.flush()
            self._capture = None

    def _run(self) -> None:
        poller = select.poll()
        for end in self._ends:
            poller.register(end, select.POLLIN)
        while not self._over.is_set():
            now = time.monotonic()
            left = self._waiting[0][0] - now if self._waiting else 0.02
            for end, _ in poller.poll(max(0.0, min(left, 0.02)) * 1000):
                self._take(end, time.monotonic())
            self._deliver(time.monotonic())

    def _take(self, end: int, now: float) -> None:
        """All packets that this end has sent."""
        while True:
            try:
                packet = os.read(end, MTU + 64)
            except BlockingIOError:
                return
            except OSError:  # the cable is out
                return
            with self._lock:
                if self._capture is not None:
                    whole, part = divmod(time.time_ns() // 1000, 1_000_000)
                    self._capture.write(struct.pack("<IIII", whole, part, len(packet), len(packet)))
                    self._capture.write(packet)
            self._accept(*self._ends[end], packet, now)

    def _accept(self, to: int, way: Way, packet: bytes, now: float) -> None:
        if way.blocked or self._random.random() < way.loss or len(self._waiting) > QUEUE:
            way.dropped += 1
            return
        due = now
        if way.rate:
            due = max(now, way._free) + len(packet) * 8 / way.rate  # our own
            way._free = due  # our own
        due += way.delay
        if self._random.random() < way.late:
            way.overtaken += 1
            due += way.hold
        heapq.heappush(self._waiting, (due, next(self._order), to, packet))
        if self._random.random() < way.twice:
            way.repeated += 1
            heapq.heappush(self._waiting, (due, next(self._order), to, packet))

    def _deliver(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            _, _, to, packet = heapq.heappop(self._waiting)
            _, way = self._ends[to]
            try:
                os.write(to, packet)
            except OSError:  # the cable is out, or its queue is full
                way.dropped += 1
            else:
                way.carried += 1
