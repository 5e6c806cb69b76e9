"""The rules by which a line continues a log."""

import dataclasses

import msgspec
import pytest

from vault.audit import chain_check, record
from vault.audit.batch import Batch, BatchComposer, LogPosition
from vault.audit.chain import Chain
from vault.audit.checkpoint import TreeHead
from vault.audit.testing import LOG_ID, NOW, make_keys, make_pending_record
from vault.crypto.digest import sha256

KEYS = make_keys()


def _batches() -> list[Batch]:
    position = LogPosition(Chain(sha256), 0, 0, 0, is_closed=True, checkpoint=0)
    ledger = BatchComposer(KEYS, LOG_ID, position, rotation_bytes=6_000)
    return [ledger.compose([make_pending_record(i)] * 3, NOW + i * 10**9) for i in range(5)]


def _lines() -> list[bytes]:
    return [line for batch in _batches() for line in batch.lines()]


def _snapshots() -> list[tuple[int, bytes]]:
    lines = enumerate(_lines())
    return [(i, line) for i, line in lines if chain_check.is_snapshot(record.decode_record(line))]


def test_every_line_of_a_good_log_is_admitted() -> None:
    """Each continues the one before, and each signed state is the chain's."""
    chain, opened = Chain(sha256), 0
    for line in _lines():
        before = chain.copy()
        entry = chain_check.extend_chain(chain, line, LOG_ID)
        opened += chain_check.is_segment_header(entry)
        if chain_check.is_snapshot(entry):
            chain_check.check_snapshot(before, entry, KEYS, KEYS.public)
    assert chain.size == len(_lines())
    assert opened > 1


def test_a_chain_can_be_resumed_at_every_snapshot() -> None:
    """The state that a checkpoint holds is that of all records before it."""
    chain, snapshots = Chain(sha256), dict(_snapshots())
    for i, line in enumerate(_lines()):
        if i in snapshots:
            resumed = chain_check.chain_before(record.decode_record(line), KEYS, KEYS.public)
            assert (resumed.size, resumed.head) == (chain.size, chain.head)
            assert resumed.tree.root() == chain.tree.root()
        chain.extend(line)


@pytest.mark.parametrize("what", ["log", "seq", "prev"])
def test_a_line_that_does_not_continue_is_refused(what: str) -> None:
    """Another log, number or predecessor: refused, and the chain is as it was."""
    lines = _lines()
    chain = Chain(sha256)
    chain.extend(lines[0])
    fields = msgspec.to_builtins(record.decode_record(lines[1]))
    fields[what] = {"log": "vault-1/node-2", "seq": 7, "prev": "00" * 32}[what]
    before = chain.head
    with pytest.raises(ValueError, match=r"log|expected|follow"):
        chain_check.extend_chain(chain, msgspec.json.encode(fields), LOG_ID)
    assert (chain.size, chain.head) == (1, before)


def _altered(line: bytes, **changes: object) -> record.AuditRecord:
    entry = record.decode_record(line)
    return msgspec.structs.replace(entry, body=entry.body | changes)


def test_a_snapshot_that_is_not_the_chains_is_refused() -> None:
    """Another frontier, a state of another place, an unsigned one, no snapshot at all."""
    index, line = _snapshots()[-1]
    chain = Chain(sha256)
    for earlier in _lines()[:index]:
        chain.extend(earlier)
    entry = record.decode_record(line)
    chain_check.check_snapshot(chain, entry, KEYS, KEYS.public)
    other = record.decode_record(_snapshots()[1][1]).body["note"]
    for bad in (
        _altered(line, frontier=["00" * 32] * len(entry.body["frontier"])),
        _altered(line, frontier=["zz"]),
        _altered(line, note=other),
        _altered(line, note="x"),
        msgspec.structs.replace(entry, time="2027-01-15T09:00:00Z"),
        msgspec.structs.replace(entry, log="vault-1/node-2"),
        msgspec.structs.replace(entry, kind="event"),
    ):
        with pytest.raises(ValueError, match=r".+"):
            chain_check.check_snapshot(chain, bad, KEYS, KEYS.public)
        with pytest.raises(ValueError, match=r".+"):
            chain_check.chain_before(bad, KEYS, KEYS.public)
    chain.extend(b"one more")
    with pytest.raises(ValueError, match="signed"):
        chain_check.check_snapshot(chain, entry, KEYS, KEYS.public)


@pytest.mark.parametrize("what", ["root", "head"])
def test_a_signed_state_is_the_chains_in_both_commitments(what: str) -> None:
    """The tree's root and the chain's head: either one alone is not enough."""
    chain = Chain(sha256)
    chain.extend(b"a line")
    head = TreeHead("origin", 1, chain.tree.root(), chain.head, "2027-01-15T08:00:00Z")
    chain_check.check_head(chain, head)
    with pytest.raises(ValueError, match="not those that were signed"):
        chain_check.check_head(chain, dataclasses.replace(head, **{what: bytes(32)}))


def test_the_public_key_of_a_header() -> None:
    """A header names the key; one that is not base64 is refused."""
    line = _lines()[0]
    assert chain_check.segment_public_key(record.decode_record(line)) == KEYS.public
    with pytest.raises(ValueError, match="base64"):
        chain_check.segment_public_key(_altered(line, public_key="*"))
