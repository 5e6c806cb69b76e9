"""The ledger's files: durable before sending, rotated, bounded, whole after a crash."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from actors.testing import FakeWorld
from protocols.link import messages as m
from protocols.link.codec import encode_payload, message_type_of
from protocols.link.envelope import Envelope
from protocols.link.messages import Direction
from protocols.link.session import seal_frame
from tests.unit.vault.control_link.samples import AGENT_KEY
from vault.control_link import egress_ledger as module
from vault.control_link.egress_chain import BadLedgerError, EgressStream, LedgerEntry
from vault.control_link.egress_ledger import (
    EgressLedger,
    LedgerTotals,
    describe_entry,
    ledger_files,
    read_entries,
)
from vault.errors import TamperedError, UnavailableError


def sending(connection: str = "c1", kind: str = "frame") -> EgressStream:
    """A connection."""
    return EgressStream(
        kind=kind,  # type: ignore[arg-type]  # one of the two
        peer="https://control.test",
        path="/link/v1",
        connection=connection,
    )


@asynccontextmanager
async def ledger(path: Path, file_bytes: int = 2**20, kept: int = 3) -> AsyncIterator[EgressLedger]:
    """An open one."""
    made = EgressLedger(path, FakeWorld(), file_bytes=file_bytes, files=kept)
    try:
        await made.open()
        yield made
    finally:
        await made.close()


def contents(path: Path) -> list[bytes]:
    """What was sent, as far as it is here."""
    return [entry.content for entry in read_entries(path)]


async def test_it_goes_on_over_starts_and_files(tmp_path: Path) -> None:
    """Small files are rotated, the chain runs through them, the oldest go."""
    path = tmp_path / "egress.log"
    sent = []
    for start in range(3):
        async with ledger(path, file_bytes=500) as opened:
            link = sending(f"c{start}")
            for number in range(5):
                sent.append(b"frame %d %d" % (start, number))
                await opened.record(link, [sent[-1]])
            assert opened.total == sum(map(len, sent))
    found = contents(path)
    assert len(ledger_files(path)) == 4
    assert found == sent[-len(found) :]
    assert len(found) < len(sent)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("minutes", "told_of"), [(59, True), (61, False)])
@pytest.mark.parametrize("again", [False, True])
async def test_a_file_that_is_full_within_an_hour_is_told(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    minutes: float,
    *,
    told_of: bool,
    again: bool,
) -> None:
    """Also of one that was begun before a start; the ledger says how far back it goes."""
    monkeypatch.setattr(module, "FILE_BYTES", 2 * 700)  # half of one is told in half the time
    path, world, minutes = tmp_path / "egress.log", FakeWorld(), minutes / 2
    made = EgressLedger(path, world, file_bytes=700)
    await made.open()
    await made.record(sending(), [b"first"])
    if again:
        await made.close()
        made = EgressLedger(path, world, file_bytes=700)
        await made.open()
    world.advance(60 * minutes - 5)
    await made.record(sending(), [bytes(400)])
    world.advance(5)
    await made.record(sending(), [b"next"])
    world.advance(3600)
    await made.record(sending(), [bytes(400)])  # the next file begins with its own first entry
    await made.close()
    assert len(hints(caplog)) == told_of
    assert len(ledger_files(path)) == 2


async def test_a_clock_that_was_set_back_is_no_haste(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that was begun later than now was filled within a time that nobody knows."""
    path, later = tmp_path / "egress.log", FakeWorld()
    later.advance(86_400)
    for world in (later, FakeWorld()):
        made = EgressLedger(path, world, file_bytes=700)
        await made.open()
        await made.record(sending(), [bytes(400)])
        await made.close()
    assert len(ledger_files(path)) == 2
    assert hints(caplog) == []


def hints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the owner was told."""
    return [line.message for line in caplog.records if "egress ledger" in line.message]


@pytest.mark.parametrize("cut", [1, 5, 100, 250])
async def test_an_unfinished_line_was_never_sent(tmp_path: Path, cut: int) -> None:
    """A crash in the middle of a write: what is whole stays, the rest is cut off."""
    path = tmp_path / "egress.log"
    async with ledger(path) as opened:
        await opened.record(sending(), [b"one", b"two"])
    whole = path.stat().st_size
    os.truncate(path, whole - cut)
    async with ledger(path) as opened:
        await opened.record(sending("c2"), [b"three"])
    assert contents(path) == [b"one", b"three"]


async def test_a_start_that_crashed_in_the_header_begins_anew(tmp_path: Path) -> None:
    """An empty or unfinished first line, with and without older files."""
    path = tmp_path / "egress.log"
    path.write_bytes(b'{"type"')
    async with ledger(path, file_bytes=300) as opened:
        for number in range(3):
            await opened.record(sending(), [b"%d" % number])
    before = contents(path)
    path.write_bytes(b"")
    async with ledger(path, file_bytes=300) as opened:
        await opened.record(sending("c2"), [b"after"])
    assert contents(path)[-1] == b"after"
    assert contents(path)[:-1] == before[: len(contents(path)) - 1]


async def test_what_was_changed_keeps_the_ledger_shut(tmp_path: Path) -> None:
    """Nothing is sent behind a ledger that is not whole, and reading says where."""
    path = tmp_path / "egress.log"
    async with ledger(path) as opened:
        await opened.record(sending(), [b"one", b"two"])
    path.write_bytes(path.read_bytes().replace(b'"length":3', b'"length":4', 1))
    with pytest.raises(BadLedgerError, match=r"egress\.log, line 2"):
        contents(path)
    with pytest.raises(TamperedError):
        async with ledger(path):
            raise AssertionError("it was opened")


async def test_one_process_writes_it(tmp_path: Path) -> None:
    """Enrolling beside a running agent is refused, and possible once it has stopped."""
    path = tmp_path / "egress.log"
    async with ledger(path):
        with pytest.raises(UnavailableError, match="has to end first"):
            async with ledger(path):
                raise AssertionError("it was opened twice")
    async with ledger(path) as opened:
        await opened.record(sending(), [b"one"])
    assert contents(path) == [b"one"]


async def test_a_disk_that_refuses_means_nothing_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is typed, no half line stays, and the next record goes on."""
    path = tmp_path / "egress.log"
    async with ledger(path) as opened:
        link = sending()
        await opened.record(link, [b"one"])

        def refuse(_fd: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", refuse)
            with pytest.raises(UnavailableError, match="nothing is sent"):
                await opened.record(link, [b"two"])
        await opened.record(link, [b"three"])
    entries = list(read_entries(path))
    assert [entry.content for entry in entries] == [b"one", b"three"]
    assert [entry.offset for entry in entries] == [0, 3]


@pytest.mark.parametrize("refused", ["replace", "open", "write", "fdatasync", "fsync"])
async def test_a_disk_that_refuses_the_next_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """Whichever step of it fails, nothing is sent; then the ledger goes on, and verifies."""
    path = tmp_path / "egress.log"
    link = sending()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    async with ledger(path, file_bytes=500, kept=99) as opened:
        sent = [b"%d" % number for number in range(12)]
        for content in sent[:4]:  # the fourth fills the file
            await opened.record(link, [content])
        assert path.stat().st_size >= 500
        with monkeypatch.context() as patch:
            patch.setattr(os, refused, full)
            for _ in range(3):
                with pytest.raises(UnavailableError, match="nothing is sent"):
                    await opened.record(link, [b"refused"])
        for content in sent[4:]:
            await opened.record(link, [content])
        assert contents(path) == sent
    async with ledger(path) as again:
        await again.record(link, [b"more"])
    assert contents(path) == [*sent, b"more"]


async def test_a_tally_finds_missing_bytes_of_a_connection(tmp_path: Path) -> None:
    """Offsets follow one another within each connection."""
    path = tmp_path / "egress.log"
    async with ledger(path) as opened:
        first, second = sending("a"), sending("b")
        for link in (first, second, first):
            await opened.record(link, [b"12345"])
    entries = list(read_entries(path))
    tally = LedgerTotals()
    for entry in entries:
        tally.add_entry(entry)
    assert tally.result() == {"entries": 3, "bytes": 15, "first": 1, "last": 3}
    torn = LedgerTotals()
    torn.add_entry(entries[0])
    missing = LedgerEntry(
        **{**{f: getattr(entries[2], f) for f in LedgerEntry.__struct_fields__}, "offset": 6}
    )
    with pytest.raises(BadLedgerError):
        torn.add_entry(missing)


async def test_an_entry_is_told_in_words(tmp_path: Path) -> None:
    """A frame by its message, a request by its fields, and a token by nothing."""
    path = tmp_path / "egress.log"
    ping = m.Ping(number=7)
    envelope = Envelope(
        version=1,
        timestamp=1,
        vault_id="prod",
        session=bytes(16),
        seq=1,
        ack=0,
        id=0,
        message_type=message_type_of(ping),
        payload=_raw(encode_payload(ping)),
    )
    frame = seal_frame(envelope, Direction.TO_CONTROL, AGENT_KEY)
    async with ledger(path) as opened:
        await opened.record(sending(), [frame])
        await opened.record(sending("r", "request"), [b'{"token":"fhe_x","csr":"eA=="}', b"?"])
    says = [describe_entry(entry) for entry in read_entries(path)]
    assert says == ['ping {"number":7}', '{"csr":"eA=="}', "not a message of the link"]


def _raw(payload: bytes) -> msgspec.Raw:
    return msgspec.Raw(payload)
