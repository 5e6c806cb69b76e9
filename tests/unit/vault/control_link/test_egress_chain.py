"""The egress ledger's lines: a chain in which nothing can be changed, left out or put in."""

import msgspec
import pytest

from vault.control_link.egress_chain import (
    FIRST_HASH,
    BadLedgerError,
    EgressStream,
    LedgerChain,
    LedgerEntry,
    LedgerHeader,
    decode_line,
    encode_entries,
    resume_chain,
)

NOW = 1_800_000_000 * 10**9


def sending(connection: str = "c1") -> EgressStream:
    """A connection to the control plane."""
    return EgressStream(
        kind="frame", peer="https://control.test", path="/link/v1", connection=connection
    )


def ledger() -> list[bytes]:
    """A header and three entries, without their newlines."""
    chain, link = LedgerChain(), sending()
    data = chain.header_line(1) + encode_entries(
        chain, link, [b"one", b"two", b"three", b"four"], NOW
    )
    return data.split(b"\n")[:-1]


def follow(found: list[bytes]) -> list[LedgerHeader | LedgerEntry]:
    """Read from the very beginning."""
    chain = LedgerChain()
    return [chain.verify_next(line) for line in found]


def test_what_was_sent_can_be_read_back() -> None:
    """Bytes, their place in the connection, and all the numbers."""
    header, *entries = follow(ledger())
    assert isinstance(header, LedgerHeader)
    assert header.prev == FIRST_HASH
    sent = [entry for entry in entries if isinstance(entry, LedgerEntry)]
    assert [entry.content for entry in sent] == [b"one", b"two", b"three", b"four"]
    assert [entry.offset for entry in sent] == [0, 3, 6, 11]
    assert [entry.entry for entry in sent] == [1, 2, 3, 4]


@pytest.mark.parametrize("place", [1, 2, 3])
@pytest.mark.parametrize("how", ["drop", "swap", "content", "number", "twice", "field", "form"])
def test_any_change_is_found(place: int, how: str) -> None:
    """Whatever is done to a line, the reading ends there or at the next one."""
    found = ledger()
    entry = msgspec.json.decode(found[place])
    match how:
        case "drop":
            del found[place]
            found.append(ledger()[4])
        case "swap":
            found[place] = found[place - 1]
        case "content":
            entry["data"] = "eHh4"
            found[place] = msgspec.json.encode(entry)
        case "number":
            entry["entry"] += 1
            found[place] = msgspec.json.encode(entry)
        case "twice":
            found.insert(place, found[place])
        case "field":
            found[place] = msgspec.json.encode({**entry, "more": 1})
        case _:
            found[place] = found[place].replace(b'":', b'": ', 1)
    with pytest.raises(BadLedgerError):
        follow(found)


def test_a_ledger_goes_on_where_an_older_file_is_gone() -> None:
    """The next file's header says how much there was."""
    chain, link = LedgerChain(), sending()
    first = chain.header_line(1) + encode_entries(chain, link, [b"one"], NOW)
    second = chain.header_line(2)
    third = encode_entries(chain, link, [b"two"], NOW)
    assert first
    header = decode_line(second[:-1])
    assert isinstance(header, LedgerHeader)
    assert (header.entries, header.bytes) == (1, 3)
    entry = resume_chain(header, second[:-1]).verify_next(third[:-1])
    assert isinstance(entry, LedgerEntry)
    assert entry.entry == 2


@pytest.mark.parametrize("line", [b"", b"{}", b"[1]", b"\xff", b'{"type":"sent"}'])
def test_other_lines_are_none_of_a_ledger(line: bytes) -> None:
    """And are told as such."""
    with pytest.raises(BadLedgerError):
        decode_line(line)
