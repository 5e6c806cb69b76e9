"""Replays: agents are asked how a candidate policy would have judged their past accesses.

Requests wait durably for ten minutes; request and answer themselves are not stored in a stream.
After a lost connection the agent is asked again, and answers from memory.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from actors import World
from control.errors import NotFoundError, RateLimitError, ValidationError
from control.model.agents import Life
from control.model.policies import Target
from control.model.policy_documents import Document, validate_document
from control.model.replays import (
    MAX_AGENTS,
    OPEN_STATES,
    Change,
    Replay,
    ReplayAgent,
    ReplayNumbers,
    State,
)
from control.model.reported_values import clamp_count, clamp_to_now
from control.services.desired_state import matches_target
from control.services.event_bus import Event, EventBus, Topic
from control.services.policies import require_policy, require_version
from control.services.policy_bundles import BundleDocuments
from control.store import agents, policies, replays
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import DAY, HOUR, SECOND
from protocols.link import messages as m
from protocols.link.limits import MAX_BUNDLE, MAX_RULES
from protocols.link.vocabulary import ReplayOutcome

REPLAY_LIFETIME: Final = 600 * SECOND
"""Who is not there until then is told as offline, and is not asked any more."""
MAX_LIVE: Final = 20
"""Of one organization in that time; an agent answers no more than that in an hour. Each is held in
memory for every agent that it is asked of."""
MAX_KEPT: Final = 200
"""Of one organization, and so of one agent: the newest. Who asks for one more loses the oldest."""
MAX_ROWS: Final = 25_000
"""Agents of those together, up to 8 KiB each; `MAX_LIVE` times `MAX_AGENTS` can be live."""
MAX_OF_ALL: Final = 250_000
"""The same of all organizations, looked at by `delete_older`."""
REPLAY_RETENTION: Final = 30 * DAY
PAGE: Final = 50
_MILLI: Final = 10**6


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate, stored or not, and the agents to ask."""

    version: int = 0
    document: Document | None = None
    targets: tuple[Target, ...] = ()
    """Empty: whom the policy is for."""
    hours: int = 24


class Replays:
    """Starts replays, and shows their progress."""

    def __init__(self, store: Store, bus: EventBus, world: World) -> None:
        self._store = store
        self._bus = bus
        self._world = world

    async def start_replay(self, org: str, policy: str, asked: ReplayRequest, by: str) -> Replay:
        """Ask each agent. Raises `NotFoundError`, `ValidationError`, `RateLimitError`."""
        now, id_ = self._world.now(), UUID(self._world.new_id()).hex
        if (asked.document is None) == (asked.version == 0):
            raise ValidationError("candidate_invalid", "give either a version or a document")

        def change(tx: Tx) -> tuple[Replay, list[str]]:
            document = _document(tx, org, policy, asked)
            vaults = _targeted_vaults(tx, org, policy, asked.targets)
            if replays.count_open_replays(tx, org, now) >= MAX_LIVE:
                raise RateLimitError(
                    "too_many_replays",
                    f"{MAX_LIVE} replays were started within ten minutes: wait until one has ended",
                )
            row = Replay(
                *(org, id_, policy, asked.version, document),
                *(now - asked.hours * HOUR, now, by, now, now + REPLAY_LIFETIME),
            )
            of = [ReplayAgent(org, id_, v, State.WAITING, ReplayNumbers(), now) for v in vaults]
            replays.add_replay(tx, row, of)
            replays.delete_replays(tx, replays.replays_over_limit(tx, org, MAX_KEPT, MAX_ROWS))
            return row, vaults

        row, vaults = await self._store.write(change)
        self._bus.publish(*(Event(Topic.REPLAY, org, vault, id_) for vault in vaults))
        return row

    async def get_replay(self, org: str, id_: str) -> tuple[Replay, list[ReplayAgent]]:
        """The replay with its agents as they count now. Raises `NotFoundError`."""

        def find(tx: Tx) -> tuple[Replay, list[ReplayAgent]]:
            row = _require_replay(tx, org, id_)
            return row, replays.list_replay_agents(tx, org, id_, after="", limit=MAX_AGENTS)

        row, of = await self._store.read(find)
        now = self._world.now()
        return row, [each.as_of(now, row.expires_at) for each in of]

    async def list_replays(self, org: str, policy: str) -> list[Replay]:
        """The newest first. Raises `NotFoundError`."""

        def find(tx: Tx) -> list[Replay]:
            require_policy(tx, org, policy)
            return replays.list_replays(tx, org, policy, PAGE)

        return await self._store.read(find)

    async def delete_older(self) -> None:
        """Delete old replays, and the oldest of all organizations if there are too many."""
        before = self._world.now() - REPLAY_RETENTION

        def change(tx: Tx) -> None:
            replays.delete_older_replays(tx, before)
            replays.delete_replays(tx, replays.replays_over_limit(tx, "", MAX_OF_ALL, MAX_OF_ALL))

        await self._store.write(change)


def has_pending(tx: Tx, org: str, vaults: Sequence[str], now: int) -> bool:
    """Whether any of these agents is to be asked."""
    return bool(replays.pending_replays(tx, org, vaults, now))


def pending_replays(
    tx: Tx, org: str, vaults: Sequence[str], now: int
) -> list[tuple[str, m.PolicyReplay]]:
    """Requests for these agents, each with the rules that its bundle would have."""
    found = replays.pending_replays(tx, org, vaults, now)
    asked = {id_: _require_replay(tx, org, id_) for _, id_ in found}
    candidates = {id_: msgspec.json.encode(row.document) for id_, row in asked.items()}
    known = {
        row.vault: row.contents for row in policies.get_assignment_states(tx, org, list(vaults))
    }
    documents, made = BundleDocuments(tx, org), []
    for vault, id_ in found:
        row = asked[id_]
        others = {n: v for n, v in known.get(vault, {}).items() if n != row.policy}
        rules = (*documents.encoded_rules(others), candidates[id_])
        if sum(map(len, rules)) > MAX_BUNDLE or len(rules) > MAX_RULES:
            record_state(tx, (org, row.id, vault), State.INVALID, now)
            continue
        made.append((vault, _replay_message(row, rules)))
    return made


def record_state(tx: Tx, of: tuple[str, str, str], state: State, now: int) -> None:
    """Store that the agent (organization, replay, vault) was asked, or never will be."""
    row = replays.get_replay_agent(tx, *of)
    if row is not None and row.state in OPEN_STATES:
        replays.put_replay_agent(tx, replace(row, state=state, changed_at=now))


def record_result(tx: Tx, org: str, vault: str, told: m.ReplayResult, now: int) -> None:
    """Store the agent's answer; once, and only if it was asked."""
    row = replays.get_replay_agent(tx, org, told.replay_id.hex(), vault)
    if row is not None and row.state in OPEN_STATES:
        numbers = (
            _replay_numbers(told, now) if told.outcome is ReplayOutcome.DONE else ReplayNumbers()
        )
        state = State(str(told.outcome))
        replays.put_replay_agent(tx, replace(row, state=state, numbers=numbers, changed_at=now))


def _replay_message(row: Replay, rules: tuple[bytes, ...]) -> m.PolicyReplay:
    return m.PolicyReplay(
        replay_id=bytes.fromhex(row.id),
        rules=rules,
        since=row.since // _MILLI,
        until=row.until // _MILLI,
        expires_at=row.expires_at // _MILLI,
    )


def _replay_numbers(told: m.ReplayResult, now: int) -> ReplayNumbers:
    return ReplayNumbers(
        reached=clamp_to_now(told.reached * _MILLI, now),
        records=clamp_count(told.records),
        accesses=clamp_count(told.accesses),
        unchanged=clamp_count(told.unchanged),
        denied=clamp_count(told.denied),
        allowed=clamp_count(told.allowed),
        drifted=clamp_count(told.drifted),
        undecided={str(one.reason): clamp_count(one.count) for one in told.undecided},
        changes=tuple(
            Change(
                one.identity.hex(),
                one.secret.hex() if any(one.secret) else "",
                clamp_count(one.denied),
                clamp_count(one.allowed),
            )
            for one in told.changes
        ),
    )


def _document(tx: Tx, org: str, policy: str, asked: ReplayRequest) -> Any:
    if asked.document is not None:
        return msgspec.to_builtins(validate_document(asked.document, policy))
    return require_version(tx, org, policy, asked.version).document


def _targeted_vaults(tx: Tx, org: str, policy: str, targets: tuple[Target, ...]) -> list[str]:
    chosen = targets
    if not chosen:
        row = policies.get_policy(tx, org, policy)
        chosen = () if row is None else row.targets
    found = [
        agent.vault
        for agent in agents.list_targeted_agents(tx, org)
        if agent.life is Life.ACTIVE and any(matches_target(target, agent) for target in chosen)
    ]
    if not found:
        raise ValidationError(
            "no_agents", "no active agent matches: name agents or tags", field="targets"
        )
    if len(found) > MAX_AGENTS:
        raise ValidationError(
            "too_many", f"{len(found)} agents match, at most {MAX_AGENTS} are possible: name fewer",
            field="targets",
        )  # fmt: skip
    return found


def _require_replay(tx: Tx, org: str, id_: str) -> Replay:
    found = replays.get_replay(tx, org, id_)
    if found is None:
        raise NotFoundError("not_found", "there is no such replay")
    return found
