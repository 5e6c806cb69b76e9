"""Ask agents what a candidate would have made of their past, before it is rolled out.

What is asked waits durably, for the ten minutes that somebody looks at it; question and answer
themselves are for the moment. A connection that is lost costs asking again, which an agent answers
from memory.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from actors import World
from control.errors import NotFoundError, RateLimitError, ValidationError
from control.model.agents import Life
from control.model.claims import counted, passed
from control.model.documents import Document, checked
from control.model.policies import Target
from control.model.replays import (
    MAX_AGENTS,
    OPEN,
    Change,
    Numbers,
    Replay,
    ReplayAgent,
    State,
)
from control.services.bundles import Documents
from control.services.events import Bus, Event, Topic
from control.services.policies import require_policy, require_version
from control.services.wanting import hits
from control.store import agents, policies, replays
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import SECOND
from protocols.link import messages as m
from protocols.link.limits import MAX_BUNDLE, MAX_RULES
from protocols.link.vocabulary import ReplayOutcome

LIFE: Final = 600 * SECOND
"""Who is not there until then is told as offline, and is not asked any more."""
MAX_LIVE: Final = 20
"""Of one organization in that time; an agent answers no more than that in an hour. Each is held in
memory for every agent that it is asked of."""
MAX_KEPT: Final = 200
"""Of one organization, and so of one agent: the newest. Who asks for one more loses the oldest."""
MAX_ROWS: Final = 25_000
"""Agents of those together, up to 8 KiB each; `MAX_LIVE` times `MAX_AGENTS` can be live."""
MAX_OF_ALL: Final = 250_000
"""The same of all organizations, looked at by `sweep`."""
KEPT: Final = 30 * 86_400 * SECOND
HOUR: Final = 3600 * SECOND
PAGE: Final = 50
_MILLI: Final = 10**6


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate: a version that is stored, or a document that is not; and whom to ask."""

    version: int = 0
    document: Document | None = None
    targets: tuple[Target, ...] = ()
    """Empty: whom the policy is for."""
    hours: int = 24


class Replays:
    """Begins them, and shows how they fare."""

    def __init__(self, store: Store, bus: Bus, world: World) -> None:
        self._store = store
        self._bus = bus
        self._world = world

    async def start(self, org: str, policy: str, asked: Asked, by: str) -> Replay:
        """Have each agent asked. Raises `NotFoundError`, `ValidationError`, `RateLimitError`."""
        now, id_ = self._world.now(), UUID(self._world.new_id()).hex
        if (asked.document is None) == (asked.version == 0):
            raise ValidationError("candidate_invalid", "give a version or a document, one of them")

        def change(tx: Tx) -> tuple[Replay, list[str]]:
            document = _document(tx, org, policy, asked)
            vaults = _meant(tx, org, policy, asked.targets)
            if replays.count_live(tx, org, now) >= MAX_LIVE:
                raise RateLimitError(
                    "too_many_replays",
                    f"{MAX_LIVE} replays were begun within ten minutes: wait until one is over",
                )
            row = Replay(
                *(org, id_, policy, asked.version, document),
                *(now - asked.hours * HOUR, now, by, now, now + LIFE),
            )
            of = [ReplayAgent(org, id_, v, State.WAITING, Numbers(), now) for v in vaults]
            replays.add_replay(tx, row, of)
            replays.remove(tx, replays.beyond(tx, org, MAX_KEPT, MAX_ROWS))
            return row, vaults

        row, vaults = await self._store.write(change)
        self._bus.publish(*(Event(Topic.REPLAY, org, vault, id_) for vault in vaults))
        return row

    async def get(self, org: str, id_: str) -> tuple[Replay, list[ReplayAgent]]:
        """With all of its agents as they count now. Raises `NotFoundError`."""

        def find(tx: Tx) -> tuple[Replay, list[ReplayAgent]]:
            row = _require(tx, org, id_)
            return row, replays.agents_of(tx, org, id_, after="", limit=MAX_AGENTS)

        row, of = await self._store.read(find)
        now = self._world.now()
        return row, [each.at(now, row.expires_at) for each in of]

    async def of_policy(self, org: str, policy: str) -> list[Replay]:
        """The newest first. Raises `NotFoundError`."""

        def find(tx: Tx) -> list[Replay]:
            require_policy(tx, org, policy)
            return replays.of_policy(tx, org, policy, PAGE)

        return await self._store.read(find)

    async def sweep(self) -> None:
        """Remove old ones, and the oldest of all organizations together if they are too many."""
        before = self._world.now() - KEPT

        def change(tx: Tx) -> None:
            replays.sweep(tx, before)
            replays.remove(tx, replays.beyond(tx, "", MAX_OF_ALL, MAX_OF_ALL))

        await self._store.write(change)


def waits(tx: Tx, org: str, vaults: Sequence[str], now: int) -> bool:
    """Whether anything is to be asked of any of these agents."""
    return bool(replays.pending(tx, org, vaults, now))


def questions(
    tx: Tx, org: str, vaults: Sequence[str], now: int
) -> list[tuple[str, m.PolicyReplay]]:
    """What is to be asked of these agents, each with the rules that its bundle would have."""
    found = replays.pending(tx, org, vaults, now)
    asked = {id_: _require(tx, org, id_) for _, id_ in found}
    candidates = {id_: msgspec.json.encode(row.document) for id_, row in asked.items()}
    known = {row.vault: row.contents for row in policies.standings_among(tx, org, list(vaults))}
    documents, made = Documents(tx, org), []
    for vault, id_ in found:
        row = asked[id_]
        others = {n: v for n, v in known.get(vault, {}).items() if n != row.policy}
        rules = (*documents.of(others), candidates[id_])
        if sum(map(len, rules)) > MAX_BUNDLE or len(rules) > MAX_RULES:
            note(tx, (org, row.id, vault), State.INVALID, now)
            continue
        made.append((vault, _question(row, rules)))
    return made


def note(tx: Tx, of: tuple[str, str, str], state: State, now: int) -> None:
    """The agent (organization, replay, vault) was asked, or never will be."""
    row = replays.agent_of(tx, *of)
    if row is not None and row.state in OPEN:
        replays.put_agent(tx, replace(row, state=state, changed_at=now))


def answered(tx: Tx, org: str, vault: str, told: m.ReplayResult, now: int) -> None:
    """What the agent says; once, and only if it was asked."""
    row = replays.agent_of(tx, org, told.replay_id.hex(), vault)
    if row is not None and row.state in OPEN:
        numbers = _numbers(told, now) if told.outcome is ReplayOutcome.DONE else Numbers()
        state = State(str(told.outcome))
        replays.put_agent(tx, replace(row, state=state, numbers=numbers, changed_at=now))


def _question(row: Replay, rules: tuple[bytes, ...]) -> m.PolicyReplay:
    return m.PolicyReplay(
        replay_id=bytes.fromhex(row.id),
        rules=rules,
        since=row.since // _MILLI,
        until=row.until // _MILLI,
        expires_at=row.expires_at // _MILLI,
    )


def _numbers(told: m.ReplayResult, now: int) -> Numbers:
    return Numbers(
        reached=passed(told.reached * _MILLI, now),
        records=counted(told.records),
        accesses=counted(told.accesses),
        unchanged=counted(told.unchanged),
        denied=counted(told.denied),
        allowed=counted(told.allowed),
        drifted=counted(told.drifted),
        undecided={str(one.reason): counted(one.count) for one in told.undecided},
        changes=tuple(
            Change(
                one.identity.hex(),
                one.secret.hex() if any(one.secret) else "",
                counted(one.denied),
                counted(one.allowed),
            )
            for one in told.changes
        ),
    )


def _document(tx: Tx, org: str, policy: str, asked: Asked) -> Any:
    if asked.document is not None:
        return msgspec.to_builtins(checked(asked.document, policy))
    return require_version(tx, org, policy, asked.version).document


def _meant(tx: Tx, org: str, policy: str, targets: tuple[Target, ...]) -> list[str]:
    chosen = targets
    if not chosen:
        row = policies.policy(tx, org, policy)
        chosen = () if row is None else row.targets
    found = [
        agent.vault
        for agent in agents.members(tx, org)
        if agent.life is Life.ACTIVE and any(hits(target, agent) for target in chosen)
    ]
    if not found:
        raise ValidationError(
            "no_agents", "no active agent is meant: name agents or tags", field="targets"
        )
    if len(found) > MAX_AGENTS:
        raise ValidationError(
            "too_many", f"{len(found)} agents are meant, at most {MAX_AGENTS} can be: name fewer",
            field="targets",
        )  # fmt: skip
    return found


def _require(tx: Tx, org: str, id_: str) -> Replay:
    found = replays.replay(tx, org, id_)
    if found is None:
        raise NotFoundError("not_found", "there is no such replay")
    return found
