"""Stores last messages and changes of presence, judged against the rows as they are by then.

Several processes hear agents, and one of them judges silence. Each update is compared with the row
in its transaction, so that each change is made once, with its alert, and no agent becomes offline
that another process has heard meanwhile.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Final, NamedTuple

from control.model.agents import Presence
from control.model.conditions import OFFLINE
from control.model.history import Aspect, StateChange, presence_value
from control.model.records import Alert, Severity
from control.store import agents, alerts, history
from control.store.rows import Tx

SILENT_STATES: Final = frozenset({Presence.LATE, Presence.OFFLINE})

AgentKey = tuple[str, str]


class PresenceUpdate(NamedTuple):
    """An update of one agent.

    `known`: the last message that the judgement was based on. `alert`: an id for an alert that may
    follow; empty where only the last message has moved.
    """

    org: str
    vault: str
    presence: Presence
    heard: int
    known: int
    alert: str
    at: int


class PresenceResult(NamedTuple):
    """The outcome of the updates."""

    changed: list[tuple[str, str, Presence]]
    alerts: list[Alert]
    heard_elsewhere: list[tuple[AgentKey, Presence, int]]
    """Who is not silent after all: presence and last word as they are stored."""


def store_presence(words: Sequence[PresenceUpdate], tx: Tx) -> PresenceResult:
    """Store the updates."""
    rows = _rows(tx, [word for word in words if word.alert])
    found = PresenceResult([], [], [])
    written: list[tuple[str, str, Presence, int]] = []
    turns: list[StateChange] = []
    gone: list[Alert] = []
    back: dict[str, list[PresenceUpdate]] = {}
    for word in words:
        if not word.alert:
            written.append((word.org, word.vault, word.presence, word.heard))
        elif (row := rows.get((word.org, word.vault))) is not None:
            before, heard = row
            if word.presence in SILENT_STATES and heard != word.known:
                found.heard_elsewhere.append(((word.org, word.vault), before, heard))
                continue
            written.append((word.org, word.vault, word.presence, word.heard))
            if before is not word.presence:
                found.changed.append((word.org, word.vault, word.presence))
                if word.presence is Presence.OFFLINE:
                    gone.append(_offline_alert(word))
                elif word.presence is Presence.ONLINE:
                    back.setdefault(word.org, []).append(word)
                turns.append(_state_change(word))
    agents.put_presence(tx, written)
    history.record_changes(tx, turns)
    found.alerts.extend(alerts.fire_alerts(tx, *gone))
    for org, some in back.items():
        vaults = [word.vault for word in some]
        found.alerts.extend(alerts.resolve_alerts(tx, org, [OFFLINE], vaults, now=some[0].at))
    return found


def _rows(tx: Tx, words: Sequence[PresenceUpdate]) -> dict[AgentKey, tuple[Presence, int]]:
    rows = {}
    for org, some in groupby(sorted(words), key=lambda word: word.org):
        vaults = [word.vault for word in some]
        for vault, presence, heard in agents.get_presence(tx, org, vaults):
            rows[org, vault] = (presence, heard)
    return rows


def _state_change(word: PresenceUpdate) -> StateChange:
    """The change, dated to the last message: the state was known until then."""
    silent = word.presence is Presence.OFFLINE
    at = word.heard if silent and word.heard else word.at
    value = presence_value(word.presence)
    return StateChange(org=word.org, aspect=Aspect.PRESENCE, subject=word.vault, at=at, value=value)


def _offline_alert(word: PresenceUpdate) -> Alert:
    """The alert; an agent that is only late has none."""
    return Alert(
        id=word.alert,
        org=word.org,
        vault=word.vault,
        code=OFFLINE,
        severity=Severity.CRITICAL,
        message=f"agent {word.vault} has not been heard any more",
        at=word.at,
        acknowledged_by="",
        acknowledged_at=0,
        last_at=word.at,
    )
