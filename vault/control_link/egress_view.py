"""The egress ledger for whoever looks at it while the agent runs.

It is read from its beginning, since only so is an entry's place in the chain known to be right.
That blocks: call these in a thread.
"""

from collections import deque
from pathlib import Path

from vault.control_link.egress_chain import BadLedgerError, LedgerEntry
from vault.control_link.egress_ledger import LedgerTotals, describe_entry, read_entries
from vault.errors import TamperedError, UnavailableError
from vault.model.link import SentEntry, SentPage, SentVerdict


def read_egress_page(path: Path, before: int, limit: int) -> SentPage:
    """The newest `limit` entries below number `before` (0: of all).

    Raises `TamperedError`, `UnavailableError`.
    """
    found: deque[LedgerEntry] = deque(maxlen=limit + 1)
    try:
        for entry in read_entries(path) if path.parent.is_dir() else ():
            if before and entry.entry >= before:
                break
            found.append(entry)
    except BadLedgerError as error:
        raise TamperedError("egress_tampered", f"the egress ledger is not whole: {error}") from None
    except OSError as error:
        raise _unreadable(error) from None
    shown = list(found)[-limit:]
    more = shown[0].entry if len(found) > limit else 0
    return SentPage(tuple(map(_entry, reversed(shown))), more)


def verify_egress_ledger(path: Path) -> SentVerdict:
    """Every hash, the chain, and each connection's offsets. Raises `UnavailableError`."""
    tally, fault = LedgerTotals(), ""
    try:
        for entry in read_entries(path) if path.parent.is_dir() else ():
            tally.add_entry(entry)
    except BadLedgerError as error:
        fault = str(error)
    except OSError as error:
        raise _unreadable(error) from None
    return SentVerdict(**tally.result(), fault=fault)


def _entry(entry: LedgerEntry) -> SentEntry:
    return SentEntry(
        entry=entry.entry,
        time=entry.time,
        kind=entry.kind,
        peer=entry.peer,
        path=entry.path,
        connection=entry.connection,
        offset=entry.offset,
        length=entry.length,
        sha256=entry.sha256,
        says=describe_entry(entry),
    )


def _unreadable(error: OSError) -> UnavailableError:
    return UnavailableError("egress_unreadable", f"the egress ledger: {error.strerror}")
