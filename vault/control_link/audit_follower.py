"""The audit log as the control link sees it: its newest signed head, its proof from a cosigned one.

It follows the log's batches (`vault.audit.feed.LogFollower`), across sealing too. After a start it
reads the lines after the cosigned size once, a slice at a time with pauses in between.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Final, NamedTuple

from actors import World
from protocols.link import messages as m
from protocols.link.signing import sha256
from protocols.merkle import Frontier, LeafRange, consistency_ranges, leaf_hash, node_hash
from vault.audit.batch import Batch
from vault.audit.checkpoint import parse_unverified_head
from vault.audit.layout import LogLayout, read_lines, read_segment_header
from vault.audit.record import SegmentBody, decode_body, decode_record

LINES_PER_SLICE: Final = 500  # lines, about 2 ms
SLICE_PAUSE: Final = 0.02  # seconds between slices
MAX_TRIES: Final = 3  # a file may be closed just then
MAX_PENDING_BYTES: Final = 8 * 1024 * 1024  # bytes of batches that come while the log is read


# The proof that the audit log grew from a state that was cosigned, kept up as the log grows.
#
# Between the old size and the new one only the hashes of the largest whole subtrees are kept: a
# few dozen, however long the agent was offline. The proof is RFC 9162, section 2.1.4.1.


MAX_MARKS: Final = 16


class _Node(NamedTuple):
    start: int
    end: int
    hash: bytes


class LogGrowth:
    """A log from a base on: feed it each further line (about 4 µs).

    At a marked size the subtrees are not joined, so that it can become the base later.
    """

    __slots__ = ("_known", "_marks", "_nodes", "base", "base_root", "size")

    def __init__(self, base: Frontier) -> None:
        self._known = list(_subtrees(base))
        self._nodes: list[_Node] = []
        self._marks: dict[int, None] = {}
        self.base = self.size = base.size
        self.base_root = base.root()

    def append_line(self, line: bytes) -> None:
        """The next line of the log, without its newline."""
        self._push(self._nodes, _Node(self.size, self.size + 1, leaf_hash(sha256, line)))
        self.size += 1

    def mark_base(self) -> None:
        """The log as it is now may become the base; the oldest of many marks is forgotten."""
        self._marks[self.size] = None
        if len(self._marks) > MAX_MARKS:
            del self._marks[next(iter(self._marks))]
            nodes, self._nodes = self._nodes, []
            for node in nodes:  # what only that mark kept apart is joined
                self._push(self._nodes, node)

    def rebase(self, size: int) -> bool:
        """Prove from this marked size on; whether it was marked."""
        if size not in self._marks:
            return False
        self._known = _whole([*self._known, *(n for n in self._nodes if n.start < size)])
        self._nodes = [node for node in self._nodes if node.start >= size]
        self._marks = {mark: None for mark in self._marks if mark > size}
        self.base, self.base_root = size, _fold(self._known)
        return True

    def proof(self) -> tuple[bytes, ...]:
        """From the base to now; nothing from an empty base."""
        if not self.base:
            return ()
        return tuple(self._hash(wanted) for wanted in consistency_ranges(self.base, self.size))

    def _push(self, nodes: list[_Node], node: _Node) -> None:
        nodes.append(node)
        while len(nodes) > 1 and nodes[-1].start not in self._marks and _are_halves(*nodes[-2:]):
            right = nodes.pop()
            nodes[-1] = _joined(nodes[-1], right)

    def _hash(self, wanted: LeafRange) -> bytes:
        start, end = wanted
        nodes = [n for n in chain(self._known, self._nodes) if start <= n.start < end]
        return _fold(_whole(nodes))


def _whole(nodes: Iterable[_Node]) -> list[_Node]:
    """Neighbouring subtrees, joined where they are halves of one."""
    found: list[_Node] = []
    for node in nodes:
        found.append(node)
        while len(found) > 1 and _are_halves(*found[-2:]):
            right = found.pop()
            found[-1] = _joined(found[-1], right)
    return found


def _fold(nodes: Sequence[_Node]) -> bytes:
    """The hash over subtrees of falling size (RFC 9162, 2.1.1)."""
    if not nodes:
        return sha256(b"")
    node = nodes[-1].hash
    for left in reversed(nodes[:-1]):
        node = node_hash(sha256, left.hash, node)
    return node


def _joined(left: _Node, right: _Node) -> _Node:
    return _Node(left.start, right.end, node_hash(sha256, left.hash, right.hash))


def read_growth(layout: LogLayout, old: int, size: int) -> Iterator[LogGrowth | None]:
    """Read a log that is being written up to `size` lines; the last item is its growth from `old`.

    Yields None after each line before, so that whoever reads can rest. Raises `ValueError` when the
    log does not hold those lines (any more, or a file was closed just then), `OSError`.
    """
    tree, lines = _from(layout, old)
    while tree.size < old:
        tree.append(leaf_hash(sha256, _next(lines, tree.size)))
        yield None
    growth = LogGrowth(tree)
    while growth.size < size:
        growth.append_line(_next(lines, growth.size))
        yield None
    yield growth


def _from(layout: LogLayout, old: int) -> tuple[Frontier, Iterator[bytes]]:
    """The tree before the file that holds line `old`, and all lines from there on."""
    files = layout.segment_files()
    for place in reversed(range(len(files))):
        record = read_segment_header(files[place])
        if record.seq <= old:
            segment: SegmentBody = decode_body(record, SegmentBody)
            hashes = [bytes.fromhex(value) for value in segment.frontier]
            return Frontier(sha256, record.seq, hashes), _lines(files[place:], record.seq)
    raise ValueError("the log begins later, or is empty")


def _lines(files: Sequence[Path], count: int) -> Iterator[bytes]:
    for file in files:
        for line in read_lines(file):
            if line.number == 1 and decode_record(line.data).seq != count:
                raise ValueError("a file of the log was closed meanwhile")
            if not line.is_complete:
                return
            count += 1
            yield line.data


def _next(lines: Iterator[bytes], place: int) -> bytes:
    line = next(lines, None)
    if line is None:
        raise ValueError(f"the log does not hold record {place}")
    return line


def _subtrees(tree: Frontier) -> Iterator[_Node]:
    start = 0
    powers = [1 << bit for bit in reversed(range(tree.size.bit_length())) if tree.size >> bit & 1]
    for power, value in zip(powers, tree.hashes, strict=True):
        yield _Node(start, start + power, value)
        start += power


def _are_halves(left: _Node, right: _Node) -> bool:
    """Whether both are the children of one node of the tree."""
    width = left.end - left.start
    return width == right.end - right.start and left.start % (2 * width) == 0


class AuditLogFollower:
    """Told of each batch; asked for checkpoints."""

    def __init__(self, layout: LogLayout, world: World) -> None:
        self._layout = layout
        self._world = world
        self._note = ""
        self._signer = b""
        self._growth: LogGrowth | None = None
        self._missed: list[Batch] | None = None
        self.size = 0

    def on_open(self, size: int) -> None:
        """See `LogFollower`. The log was opened: what was fed before may not be all of it."""
        self.size, self._note = size, ""
        self._growth, self._missed = None, None

    def on_batch(self, batch: Batch) -> None:
        """See `LogFollower`."""
        if self._growth is not None:
            for line in batch.lines():
                self._growth.append_line(line)
        if self._missed is not None:
            self._missed.append(batch)
            if sum(len(missed.data) for missed in self._missed) > MAX_PENDING_BYTES:
                self._missed = None
        self.size, self._note, self._signer = batch.size, batch.note, batch.signer

    def wants_lines(self) -> bool:
        """While there is something for them to be added to."""
        return self._growth is not None or self._missed is not None

    async def checkpoint(self, old: int, old_root: bytes) -> m.AuditCheckpoint | None:
        """The newest signed state with its proof; None when it says nothing new.

        A log that does not begin with what was cosigned is told without a proof: the witness must
        see that.
        """
        if not self._note or self.size == old:
            return None
        growth = await self._growth_from(old)
        if not self._note:
            return None
        head = parse_unverified_head(self._note)
        proof: tuple[bytes, ...] = ()
        if growth is not None and growth.size == head.size and growth.base_root == old_root:
            proof = growth.proof()
            growth.mark_base()  # it may come back cosigned
        return m.AuditCheckpoint(
            old_size=old,
            size=head.size,
            root=head.root,
            note=self._note,
            signer=self._signer,
            proof=proof,
        )

    async def _growth_from(self, old: int) -> LogGrowth | None:
        if old > self.size:
            return None
        growth = self._growth
        if growth is None or (growth.base != old and not growth.rebase(old)):
            self._growth = growth = await self._read(old)
        return growth

    async def _read(self, old: int) -> LogGrowth | None:
        """From the files; None when they do not hold it, or change too quickly."""
        for _ in range(MAX_TRIES):
            missed: list[Batch] = []
            self._missed = missed
            try:
                growth = await self._slices(read_growth(self._layout, old, self.size))
            except (ValueError, OSError):
                await self._world.sleep(SLICE_PAUSE)
                continue
            if self._missed is not missed:  # too much came, or the log was opened anew
                continue
            self._missed = None
            for batch in missed:
                for line in batch.lines():
                    growth.append_line(line)
            return growth
        self._missed = None
        return None

    async def _slices(self, reading: Iterator[LogGrowth | None]) -> LogGrowth:
        while True:
            some = await self._world.run_sync(_slice, reading)
            if (last := some[-1]) is not None:
                return last
            await self._world.sleep(SLICE_PAUSE)


def _slice(reading: Iterator[LogGrowth | None]) -> list[LogGrowth | None]:
    return list(islice(reading, LINES_PER_SLICE))
