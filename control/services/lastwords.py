"""Last words and changes of presence, as they are stored: judged against what is there by then.

Several processes hear agents, and one of them judges silence. Whoever stores something compares it
with the row in the same transaction, so that each change is made once, with its one alert, and
nobody becomes offline whom another process has heard meanwhile.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

from control.model.agents import Presence
from control.model.history import Aspect, Turn, presence_of
from control.model.records import Alert, Severity
from control.store import agents, history, records
from control.store.rows import Tx

SILENT: Final = frozenset({Presence.LATE, Presence.OFFLINE})

GONE: Final = "agent_offline"
BACK: Final = "agent_online"

Name = tuple[str, str]

_NOBODY: Final = (Presence.OFFLINE, 0)


class Word(NamedTuple):
    """What is to be stored of one agent.

    `known`: the last word that whoever judged took for the newest. `alert`: an id for the alert
    that may come of it; empty where only the last word has moved.
    """

    org: str
    vault: str
    presence: Presence
    heard: int
    known: int
    alert: str
    at: int


class Found(NamedTuple):
    """What came of it."""

    changed: list[tuple[str, str, Presence]]
    alerts: list[Alert]
    heard_elsewhere: list[tuple[Name, Presence, int]]
    """Who is not silent after all: presence and last word as they are stored."""


def stored(words: Sequence[Word], tx: Tx) -> Found:
    """Store them."""
    rows = _rows(tx, [word for word in words if word.alert])
    missed = _missed(tx, words, rows)
    found = Found([], [], [])
    written: list[tuple[str, str, Presence, int]] = []
    turns: list[Turn] = []
    for word in words:
        if not word.alert:
            written.append((word.org, word.vault, word.presence, word.heard))
        elif (row := rows.get((word.org, word.vault))) is not None:
            before, heard = row
            if word.presence in SILENT and heard != word.known:
                found.heard_elsewhere.append(((word.org, word.vault), before, heard))
                continue
            written.append((word.org, word.vault, word.presence, word.heard))
            if before is not word.presence:
                found.changed.append((word.org, word.vault, word.presence))
                told = Presence.OFFLINE if (word.org, word.vault) in missed else before
                found.alerts.extend(_alerts(word, told))
                turns.append(_turn(word))
    agents.heard(tx, written)
    history.note(tx, turns)
    records.add_alerts(tx, *found.alerts)
    return found


def _rows(tx: Tx, words: Sequence[Word]) -> dict[Name, tuple[Presence, int]]:
    rows = {}
    for org, some in groupby(sorted(words), key=lambda word: word.org):
        vaults = [word.vault for word in some]
        for vault, presence, heard in agents.pulses_among(tx, org, vaults):
            rows[org, vault] = (presence, heard)
    return rows


def _missed(tx: Tx, words: Sequence[Word], rows: Mapping[Name, tuple[Presence, int]]) -> set[Name]:
    """Who is heard for the first time in this life, and was offline when the last one ended.

    A lock leaves nobody's presence, but the alert stands: people wait for the one that ends it.
    """
    names = {(word.org, word.vault) for word in words if word.presence is Presence.ONLINE}
    new = sorted(name for name in names if rows.get(name, _NOBODY)[0] is Presence.UNKNOWN)
    missed = set()
    for org, some in groupby(new, key=itemgetter(0)):
        last = records.newest_among(tx, org, [vault for _, vault in some], (GONE, BACK))
        missed |= {(org, vault) for vault, code in last.items() if code == GONE}
    return missed


def _turn(word: Word) -> Turn:
    """Silence began with the last word: what was heard until then is known."""
    silent = word.presence is Presence.OFFLINE
    at = word.heard if silent and word.heard else word.at
    value = presence_of(word.presence)
    return Turn(org=word.org, aspect=Aspect.PRESENCE, subject=word.vault, at=at, value=value)


def _alerts(word: Word, before: Presence) -> list[Alert]:
    """Offline, and back from it. Being late for a while is shown, but wakes nobody."""
    if Presence.OFFLINE not in (before, word.presence):
        return []
    gone = word.presence is Presence.OFFLINE
    told = "has not been heard any more" if gone else "is heard again"
    return [
        Alert(
            id=word.alert,
            org=word.org,
            vault=word.vault,
            code=GONE if gone else BACK,
            severity=Severity.CRITICAL if gone else Severity.INFO,
            message=f"agent {word.vault} {told}",
            at=word.at,
            acknowledged_by="",
            acknowledged_at=0,
        )
    ]
