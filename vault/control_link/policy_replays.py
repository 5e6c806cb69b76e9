"""What the control plane wants to know before a roll-out: its candidate, held against our past.

It is told numbers, and opaque ids if the owner lets them out. Questions are worked on one after
the other, each as an ordinary operation: authorized, and on the audit log. Their number is bounded,
for each of them tells a little of what is not told otherwise (docs/spec/link.md).
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
import trio

from actors import World
from protocols import json_text
from protocols.instant import MAX_NS
from protocols.link import messages as m
from protocols.link.limits import MAX_REPLAY_CHANGES
from protocols.link.vocabulary import ReplayOutcome, UndecidedReason
from vault import operations
from vault.control_link.usage_reporter import SharingLevel
from vault.errors import ConflictError, ValidationError, VaultError
from vault.model.operation import Operation, RunOperation, service_operation
from vault.model.policy_replay import (
    MAX_CHANGES,
    ConditionFact,
    DecisionChange,
    PolicyReplayReport,
    ReplayPolicies,
)

MAX_WAITING: Final = 8  # each up to 192 KiB
MAX_PER_HOUR: Final = 20
MAX_REMEMBERED: Final = 64  # answers, so that asking again costs nothing; 6 KiB each at most
BUSY_RETRY_DELAY: Final = 2.0  # seconds until a replay is tried again while somebody else's runs
HOUR: Final = 3600.0
SERVICE: Final = "control-plane"
NO_SECRET: Final = bytes(16)
_MILLI: Final = 1_000_000

SendResult = Callable[[m.ReplayResult], None]


class PolicyReplays:
    """Answers them. `submit` never waits; `run` is a task."""

    def __init__(
        self,
        run: RunOperation,
        share: SharingLevel,
        world: World,
        facts: Iterable[ConditionFact] = (),
    ) -> None:
        """`facts`: what the owner lets candidates be decided by."""
        self._run = run
        self._facts = frozenset(facts)
        self._share = share
        self._world = world
        self._waiting: dict[bytes, m.PolicyReplay] = {}
        self._answers: dict[bytes, m.ReplayResult] = {}
        self._begun: deque[float] = deque(maxlen=MAX_PER_HOUR)
        self._came = trio.Event()

    def submit(self, query: m.PolicyReplay, send: SendResult) -> None:
        """Have it answered, at once if the answer is known or there will be none."""
        known = self._answers.get(query.replay_id)
        if known is not None:
            send(known)
        elif query.replay_id in self._waiting:
            return
        elif self._share is SharingLevel.OFF:
            send(_nothing(query, ReplayOutcome.REFUSED))
        elif len(self._waiting) >= MAX_WAITING or self._is_often():
            send(_nothing(query, ReplayOutcome.TOO_MANY))
        else:
            self._begun.append(self._world.monotonic())
            self._waiting[query.replay_id] = query
            self._came.set()

    async def run(self, send: SendResult) -> None:
        """Work on what waits, until cancelled."""
        while True:
            await self._came.wait()
            self._came = trio.Event()
            while self._waiting:
                asked = next(iter(self._waiting.values()))
                answer = await self._answer(asked)
                if answer.outcome in {ReplayOutcome.DONE, ReplayOutcome.INVALID}:
                    self._keep(answer)
                del self._waiting[asked.replay_id]
                send(answer)

    def _is_often(self) -> bool:
        full = len(self._begun) == MAX_PER_HOUR
        return full and self._world.monotonic() - self._begun[0] < HOUR

    def _keep(self, answer: m.ReplayResult) -> None:
        self._answers[answer.replay_id] = answer
        if len(self._answers) > MAX_REMEMBERED:
            del self._answers[next(iter(self._answers))]

    async def _answer(self, asked: m.PolicyReplay) -> m.ReplayResult:
        try:
            operation = self._operation(_payload(asked, self._share, self._facts))
        except ValidationError:
            return _nothing(asked, ReplayOutcome.INVALID)
        while self._world.now() // _MILLI < asked.expires_at:
            try:
                found = await self._run(operation)
            except ConflictError:
                await self._world.sleep(BUSY_RETRY_DELAY)
            except ValidationError:
                return _nothing(asked, ReplayOutcome.INVALID)
            except VaultError:
                return _nothing(asked, ReplayOutcome.UNAVAILABLE)
            else:
                return _told(asked, found)
        return _nothing(asked, ReplayOutcome.EXPIRED)

    def _operation(self, payload: ReplayPolicies) -> Operation[ReplayPolicies, PolicyReplayReport]:
        return service_operation(
            operations.REPLAY_POLICIES,
            "sys/policies-replay",
            payload,
            service=SERVICE,
            request_id=self._world.new_id(),
        )


def _payload(
    asked: m.PolicyReplay, share: SharingLevel, facts: frozenset[ConditionFact]
) -> ReplayPolicies:
    """Raises `ValidationError` for documents that are none."""
    opaque = share is SharingLevel.OPAQUE
    return ReplayPolicies(
        bundle=tuple(_document(rule) for rule in asked.rules),
        since=_instant(asked.since),
        until=_instant(asked.until),
        limit=MAX_CHANGES if opaque else 0,
        facts=facts,
        opaque=opaque,
    )


def _instant(millis: int) -> int:
    """In nanoseconds, as far as there are any: the other side says what it likes."""
    return min(max(1, millis * _MILLI), MAX_NS)


def _document(rule: bytes) -> dict[str, Any]:
    try:
        return json_text.decode(rule, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ValidationError("policy_invalid", "a rule is no JSON object") from None


def _told(asked: m.PolicyReplay, found: PolicyReplayReport) -> m.ReplayResult:
    """Numbers and opaque ids: what has a name stays here."""
    return m.ReplayResult(
        replay_id=asked.replay_id,
        outcome=ReplayOutcome.DONE,
        reached=max(found.reached // _MILLI, asked.since),
        records=found.records,
        accesses=found.accesses,
        unchanged=found.unchanged,
        denied=found.denied,
        allowed=found.allowed,
        drifted=found.drifted,
        undecided=tuple(
            m.UndecidedCount(reason=UndecidedReason(str(reason)), count=count)
            for reason, count in sorted(found.undecided.items())
        ),
        changes=_changes(found.changes),
    )


def _changes(changes: Iterable[DecisionChange]) -> tuple[m.ReplayChange, ...]:
    counts: dict[tuple[bytes, bytes], list[int]] = {}
    for change in changes:
        pair = counts.setdefault((change.identity, change.secret or NO_SECRET), [0, 0])
        pair[change.allowed] += change.count
    most = sorted(counts.items(), key=lambda item: -sum(item[1]))[:MAX_REPLAY_CHANGES]
    return tuple(
        m.ReplayChange(identity=identity, secret=secret, denied=denied, allowed=allowed)
        for (identity, secret), (denied, allowed) in most
    )


def _nothing(asked: m.PolicyReplay, outcome: ReplayOutcome) -> m.ReplayResult:
    return m.ReplayResult(
        replay_id=asked.replay_id,
        outcome=outcome,
        reached=0,
        records=0,
        accesses=0,
        unchanged=0,
        denied=0,
        allowed=0,
        drifted=0,
        undecided=(),
        changes=(),
    )
