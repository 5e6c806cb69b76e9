"""Supervisor: starts its children in order, judges their ends, stops them in reverse order.

One task (`run`) makes all decisions. A child's life is a task of its own, which never raises an
`Exception` but leaves it in the child's state and wakes the supervisor.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import trio

from actors.cell import Cell, Supervised
from actors.child import Branch, Child, StopMode, Strategy
from actors.child_state import ChildState, Phase, affected_children
from actors.errors import ActorExited, StopFailed, SupervisorFailed
from actors.mailbox import Mailbox
from actors.ref import Ref
from actors.report import Reporter, Verdict, log_failure, make_report
from actors.restart import Escalate, RestartAfter, RestartPolicy, decide_restart, recent_failures
from actors.tree import Node
from actors.world import World

_STUCK = (StopFailed, SupervisorFailed)


class Supervisor:
    """A node of the tree that has children. Made by `supervise`, never by hand."""

    def __init__(
        self, branch: Branch, path: str, world: World, report: Reporter, *, is_root: bool
    ) -> None:
        self.path = path
        self._branch = branch
        self._world = world
        self._report = report
        self._is_root = is_root
        self._states = {
            child.name: ChildState(self._member(child), child.restart) for child in branch.children
        }
        if len(self._states) != len(branch.children):
            raise ValueError(f"{path}: two children have the same name")
        self._failures: list[tuple[float, Exception]] = []
        self._stop_mode: StopMode | None = None
        self._changed = trio.Event()

    def ref(self, name: str) -> Ref[Any]:
        """The stable ref of the child `name`, or of `branch/child` further down.

        Raises `KeyError` when there is no such actor.
        """
        first, _, rest = name.partition("/")
        member = self._states[first].member
        if rest and isinstance(member, Supervisor):
            return member.ref(rest)
        if rest or not isinstance(member, Cell):
            raise KeyError(name)
        return Ref(member.mailbox)

    def snapshot(self) -> Node:
        """The tree from here down, frozen."""
        return Node(
            name=self.path,
            kind=self._branch.strategy.value,
            state="stopping" if self._stop_mode else "running",
            children=tuple(
                replace(
                    state.member.snapshot(),
                    state=state.phase.value,
                    restarts=max(state.starts - 1, 0),
                    last_failure=state.last_failure,
                )
                for state in self._states.values()
            ),
        )

    def mailboxes(self) -> list[Mailbox]:
        """Every mailbox from here down, in start order."""
        return [box for state in self._states.values() for box in state.member.mailboxes()]

    # One life, as a Member.

    def begin(self) -> None:
        """All children down and due, no failure held against them."""
        self._failures = []
        self._stop_mode = None
        self._changed = trio.Event()
        for state in self._states.values():
            state.await_start(in_order=True)
            state.due = True

    async def run(self, ready: Callable[[], None]) -> None:
        """Raises `SupervisorFailed` when a storm escalates or children fail to stop."""
        async with trio.open_nursery() as nursery:
            storm = await self._govern(nursery, ready)
            if storm and self._is_root:
                self.close()  # nobody is left who could restart: let every caller know at once
            states = list(self._states.values())
            late = await self._bring_down(states, self._stop_mode or StopMode.PAUSE)
        if storm:
            raise SupervisorFailed(
                f"{self.path}: restarts exhausted", storm + [error for _, error in late]
            )
        self._judge_last(late)

    def stop(self, mode: StopMode) -> None:
        """Have `run` bring all children down, last first, and return."""
        self._stop_mode = mode
        self._changed.set()

    def close(self) -> None:
        """Fail everything queued from here down."""
        for state in self._states.values():
            state.member.close()

    # Decisions.

    async def _govern(self, nursery: trio.Nursery, ready: Callable[[], None]) -> list[Exception]:
        """Returns when a stop is asked for, with nothing, or with a storm's failures."""
        states = self._states.values()
        announced = False
        while self._stop_mode is None:
            for state in states:
                if state.phase is Phase.ENDED and not await self._judge(state, nursery):
                    return [error for _, error in self._failures]
            self._start_due(nursery)
            if not announced and all(state.is_settled for state in states):
                announced = True
                ready()
            await self._changed.wait()
            self._changed = trio.Event()
        return []

    async def _judge(self, state: ChildState, nursery: trio.Nursery) -> bool:
        """Decide what follows the end of a child's life; False to escalate."""
        if not state.will_restart():
            if state.outcome is not None:
                self._tell(state, state.outcome, Verdict.DONE)
            state.retire()
            return True
        error = state.outcome or ActorExited(f"{state.member.path} ended by itself")
        state.await_start(in_order=False)
        decision = self._weigh([(state, error)])
        group = affected_children(self._branch.strategy, list(self._states.values()), state)
        if len(group) > 1 and isinstance(decision, RestartAfter):
            late = await self._bring_down([s for s in group if s is not state], StopMode.PAUSE)
            decision = self._weigh(late) if late else decision
        if isinstance(decision, Escalate):
            return False
        scope = trio.CancelScope()
        waiting = [s for s in group if s.phase is not Phase.DONE]
        for each in waiting:
            each.await_start(in_order=len(group) > 1)
            each.backoff = scope
        nursery.start_soon(self._back_off, waiting, decision.delay, scope)
        return True

    def _judge_last(self, late: Sequence[tuple[ChildState, Exception]]) -> None:
        """Raise what children failed to stop with, and their crashes if they are a storm.

        A crash that the policy would have answered by a restart is reported like any other.
        """
        stuck: list[Exception] = [error for _, error in late if isinstance(error, _STUCK)]
        crashes = [(state, error) for state, error in late if not isinstance(error, _STUCK)]
        if crashes and isinstance(self._weigh(crashes), Escalate):
            stuck = [error for _, error in self._failures] + stuck
        if stuck:
            raise SupervisorFailed(f"{self.path}: failures at the stop", stuck)

    def _weigh(self, failed: Sequence[tuple[ChildState, Exception]]) -> RestartAfter | Escalate:
        """Put failures on record, decide what they lead to, and report them."""
        now, policy = self._world.monotonic(), self._branch.policy
        self._failures += [(now, error) for _, error in failed]
        times = recent_failures(policy, [time for time, _ in self._failures], now)
        self._failures = self._failures[len(self._failures) - len(times) :]
        decision = decide_restart(policy, times, now, self._world.jitter())
        for state, error in failed:
            if isinstance(decision, Escalate):
                self._tell(state, error, Verdict.ESCALATE)
            elif self._stop_mode:
                self._tell(state, error, Verdict.DONE)
            else:
                self._tell(state, error, Verdict.RESTART, decision.delay)
        return decision

    def _tell(
        self, state: ChildState, error: Exception, verdict: Verdict, delay: float = 0.0
    ) -> None:
        state.last_failure = type(error).__name__
        self._report(make_report(state.member.path, error, verdict, delay))

    async def _back_off(
        self, states: list[ChildState], delay: float, scope: trio.CancelScope
    ) -> None:
        with scope:
            if delay > 0:
                await self._world.sleep(delay)
            for state in states:
                state.due = True
            self._changed.set()

    # Children's lives.

    def _start_due(self, nursery: trio.Nursery) -> None:
        elders_settled = True
        for state in self._states.values():
            if state.phase is Phase.DOWN and state.due and (elders_settled or not state.in_order):
                state.starting()
                nursery.start_soon(self._life, state)
            elders_settled = elders_settled and state.is_settled

    async def _life(self, state: ChildState) -> None:
        outcome: Exception | None = None
        try:
            await state.member.run(partial(self._ready, state))
        except Exception as error:  # noqa: BLE001  # judged, reported, and kept for an escalation
            outcome = error
        state.end(outcome)
        self._changed.set()

    def _ready(self, state: ChildState) -> None:
        state.phase = Phase.RUNNING
        self._changed.set()

    async def _bring_down(
        self, states: Sequence[ChildState], mode: StopMode
    ) -> list[tuple[ChildState, Exception]]:
        """Stop these, last first, each within its grace; the failures they ended with."""
        failed = []
        for state in reversed(states):
            state.backoff.cancel()
            was_alive = state.is_alive
            if was_alive:
                state.member.stop(mode)
                await state.ended.wait()
            if state.phase is Phase.ENDED:
                if state.outcome is not None:
                    failed.append((state, state.outcome))
                if state.will_restart(stopped_by_us=was_alive):
                    state.await_start(in_order=True)
                else:
                    state.retire()
            if mode is StopMode.DRAIN:
                state.retire()
        return failed

    def _member(self, child: Child | Branch) -> Supervised:
        if not child.name or "/" in child.name:
            raise ValueError(f"{self.path}: a child's name is not empty and has no '/'")
        path = f"{self.path}/{child.name}"
        if isinstance(child, Branch):
            return Supervisor(child, path, self._world, self._report, is_root=False)
        return Cell(child, path, self._world)


@asynccontextmanager
async def supervise(
    name: str,
    children: Sequence[Child | Branch],
    *,
    world: World,
    strategy: Strategy = Strategy.ONE_FOR_ONE,
    policy: RestartPolicy | None = None,
    report: Reporter = log_failure,
) -> AsyncIterator[Supervisor]:
    """Run `children` for the length of the block.

    They are started in order, each once the one before can serve; all can on entry. On exit, also
    when the block raises or is cancelled, they are stopped in reverse order: each accepts nothing
    more, serves what is queued, then runs `on_stop`, all within its grace; what is left then is
    failed with `ActorStopped`.

    When more children fail than `policy` allows, all are stopped without serving what is queued,
    the block is cancelled, and the block raises an `ExceptionGroup` with a `SupervisorFailed` that
    holds the children's own exceptions. Children that fail to stop (`StopFailed`) raise likewise.
    A crash in the last moments, which `policy` would have answered by a restart, is reported like
    any other. `report` is called for each failure that is judged, and must not raise.
    """
    branch = Branch(name, tuple(children), strategy, policy or RestartPolicy())
    root = Supervisor(branch, name, world, report, is_root=True)
    root.begin()  # before a stop can be asked for: it would forget that one
    started = trio.Event()
    async with trio.open_nursery() as nursery:
        clocks = trio.CancelScope(shield=True)
        nursery.start_soon(_keep_time, root, clocks)
        nursery.start_soon(_run, root, started, clocks)
        try:
            await started.wait()
            yield root
        finally:
            root.stop(StopMode.DRAIN)


async def _keep_time(root: Supervisor, clocks: trio.CancelScope) -> None:
    with clocks:
        async with trio.open_nursery() as nursery:
            for mailbox in root.mailboxes():
                nursery.start_soon(mailbox.run_deadlines)


async def _run(root: Supervisor, started: trio.Event, clocks: trio.CancelScope) -> None:
    # Shielded: a cancelled block asks for an orderly stop instead, which is bounded.
    with trio.CancelScope(shield=True):
        try:
            await root.run(started.set)
        finally:
            root.close()
            clocks.cancel()
