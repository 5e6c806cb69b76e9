"""Roll-outs: a version reaches more agents step by step, and stops when too many refuse it."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from actors import World
from control.errors import ConflictError, NotFoundError, ValidationError
from control.model.agents import TargetedAgent
from control.model.conditions import ROLLOUT_HALTED
from control.model.names import require_slug
from control.model.policies import (
    PENDING_OUTCOMES,
    Outcome,
    Plan,
    Policy,
    PolicyVersion,
    Rollout,
    RolloutState,
    Target,
)
from control.model.policy_documents import Document, validate_document
from control.model.records import Alert, Severity
from control.services.alerts import Alerts
from control.services.desired_state import ASSIGNED_LIVES, is_away, is_silent, targeted_agents
from control.services.policies import (
    Policies,
    check_targets,
    policy_to_write,
    require_policy,
    require_version,
    rollout_open,
)
from control.services.policy_bundles import LIMIT_TEXT, agents_over_capacity, require_capacity
from control.services.rollout_steps import (
    Progress,
    RolloutDecision,
    added_agents,
    agents_reached,
    count_outcomes,
    decide_next,
    reached_agents,
    step_count,
)
from control.store import agents, alerts, policies
from control.store.rows import Tx
from control.store.store import Store

RolloutChange = Callable[[Tx, Rollout], Rollout]

CHECK_INTERVAL: Final = 15.0  # seconds
MAX_CHECK_TIME: Final = 3.0  # seconds for which what has changed in a large fleet may wait
OPEN_STATES: Final = frozenset({RolloutState.RUNNING, RolloutState.HALTED})


class Draft(Struct, frozen=True):
    """A document that becomes a policy's next version."""

    document: Document
    comment: str = ""

    def plain(self, name: str) -> Any:
        """The document as it is stored. Raises `ValidationError`."""
        return msgspec.to_builtins(validate_document(self.document, require_slug(name, "policy")))


class RolloutSnapshot(Struct, frozen=True):
    """Counts of an organization that say whether to look closer; `at` on the monotonic clock."""

    rollouts: list[Rollout]
    policies: list[Policy]
    counts: dict[Outcome, int]
    at: float
    took: float = 0.0
    """Seconds of the closer look that followed."""

    def is_unchanged(self, before: "RolloutSnapshot") -> bool:
        """Whether nothing has changed since, and that is not long ago."""
        recent = self.at - before.at < CHECK_INTERVAL
        return recent and replace(before, at=self.at, took=self.took) == self

    def is_too_soon(self, before: "RolloutSnapshot") -> bool:
        """Whether a closer look now would take more than a twentieth of the time."""
        return self.at - before.at < min(20 * before.took, MAX_CHECK_TIME)


class Rollouts:
    """Starts, advances, halts, rolls back; `advance_running` makes the automatic steps."""

    def __init__(self, store: Store, policies_: Policies, alerts: Alerts, world: World) -> None:
        self._store = store
        self._policies = policies_
        self._alerts = alerts
        self._world = world
        self._seen: dict[str, RolloutSnapshot] = {}

    async def start_rollout(
        self,
        org: str,
        name: str,
        what: "int | Draft",
        plan: Plan,
        by: str,
        *,
        targets: tuple[Target, ...] | None = None,
    ) -> Rollout:
        """Begin with the first step. A policy has one open roll-out at a time.

        `what`: the number of a version, or a draft that becomes the next one. `targets`: the agents
        that the policy is for with this roll-out; None keeps them. A refusal changes nothing.

        Raises `ValidationError` (`bundle_too_large`) for a version that some agent's bundle cannot
        hold, (`no_targets`) for a policy without targets, and `ConflictError` (`rollout_open`,
        `still_there`: a version that was rolled back and is still in bundles).
        """
        now, rollout_id = self._world.now(), self._world.new_id()
        draft = None if isinstance(what, int) else what.plain(name)
        check_targets(targets or ())

        def wished(tx: Tx) -> tuple[Policy, Policy, int]:
            """The policy as it is and as the roll-out wants it; the version."""
            if isinstance(what, int):
                before = require_policy(tx, org, name)
                require_version(tx, org, name, what)
                version = what
            else:
                before = policy_to_write(tx, org, name, now)
                version = before.head + 1
            _require_none_open(tx, before)
            policy = before if targets is None else replace(before, targets=targets)
            if not policy.targets:
                raise ValidationError(
                    "no_targets", f"{name} has no targets: give them with 'targets'"
                )
            return before, policy, version

        def look(tx: Tx) -> policies.RolloutInputs:
            _, policy, version = wished(tx)
            require_capacity(tx, org, policy, version, draft)
            return policies.rollout_inputs(tx, org)

        seen = await self._store.read(look)  # all agents: the writer is not held for it

        def change(tx: Tx) -> Rollout:
            before, policy, version = wished(tx)
            if policies.rollout_inputs(tx, org) != seen:  # somebody decided something meanwhile
                require_capacity(tx, org, policy, version, draft)
            _require_not_in_use(tx, policy, version, plan)
            if not isinstance(what, int):
                policy = replace(policy, head=version)
                row = PolicyVersion(org, name, version, draft, what.comment, by, now)
                policies.add_version(tx, row)
            if policy != before:
                policies.put_policy(tx, replace(policy, changed_at=now))
            made = Rollout(
                id=rollout_id,
                org=org,
                policy=name,
                version=version,
                previous=policy.stable,
                plan=plan,
                step=0,
                state=RolloutState.RUNNING,
                reason="",
                created_by=by,
                created_at=now,
                changed_at=now,
                owner=by,
                targets=targets,
                previous_targets=None if targets is None else before.targets,
            )
            policies.put_rollout(tx, made)
            return made

        try:
            return await self._store.write(change)
        finally:
            self._policies.mark_due(org)  # also when refused: so that what is still there goes

    async def list_rollouts(self, org: str, name: str, limit: int) -> list[Rollout]:
        """Roll-outs, the newest first. Raises `NotFoundError`."""

        def find(tx: Tx) -> list[Rollout]:
            require_policy(tx, org, name)
            return policies.list_rollouts(tx, org, name, limit)

        return await self._store.read(find)

    async def get_rollout(self, org: str, rollout_id: str) -> tuple[Rollout, Progress]:
        """The roll-out, with the progress of its step. Raises `NotFoundError`."""

        def find(tx: Tx) -> tuple[Rollout, Progress]:
            rollout = _require_rollout(tx, org, rollout_id)
            return rollout, rollout_progress(tx, rollout)

        return await self._store.read(find)

    async def advance_rollout(
        self, org: str, rollout_id: str, step: int | None = None, *, by: str
    ) -> Rollout:
        """Go to the next step without waiting; a halted roll-out continues with it.

        From then on it runs by the authority of `by`, `organization/name`. After the last step it
        is done: its version is the stable one, and agents that are away get it when they return.

        `step`: the step that the caller has seen. If the roll-out is at another one by now
        (somebody else was quicker, or the request was repeated), it stays there. Raises
        `ConflictError` (`other_step`; or `last_step` where it would be done and `step` is not
        given).
        """
        now = self._world.now()

        def next_step(tx: Tx, rollout: Rollout) -> Rollout:
            if step is not None and step != rollout.step:
                raise ConflictError(
                    "other_step",
                    f"the roll-out is at step {rollout.step} now, not {step}: check it and repeat",
                )
            if rollout.step + 1 >= step_count(rollout.plan):
                if step is None:
                    raise ConflictError(
                        "last_step",
                        f"the roll-out is at its last step: give step {rollout.step} to finish it",
                    )
                return _finish_rollout(tx, rollout, now)
            return replace(
                rollout, step=rollout.step + 1, state=RolloutState.RUNNING, reason="", owner=by
            )

        return await self._change_rollout(org, rollout_id, next_step)

    async def halt_rollout(self, org: str, rollout_id: str, reason: str) -> Rollout:
        """Stop here; agents that have the new version keep it."""
        return await self._change_rollout(
            org,
            rollout_id,
            lambda _, rollout: replace(rollout, state=RolloutState.HALTED, reason=reason),
        )

    async def roll_back_rollout(self, org: str, rollout_id: str, reason: str) -> Rollout:
        """Give all agents the previous version again, in a new bundle; also after it was done.

        The targets that came with it are restored, too, unless they were changed since. A finished
        roll-out is not rolled back while another of its policy is open (`rollout_open`).
        """
        now = self._world.now()

        def back(tx: Tx, rollout: Rollout) -> Rollout:
            policy = require_policy(tx, org, rollout.policy)
            if rollout.state is RolloutState.DONE:
                if policy.stable != rollout.version:
                    raise ConflictError("superseded", "another version is stable by now")
                _require_none_open(tx, policy)  # it would go back to this one's version
                policy = replace(policy, stable=rollout.previous, changed_at=now)
            previous = rollout.previous_targets
            if previous is not None and policy.targets == rollout.targets:
                policy = replace(policy, targets=previous, changed_at=now)
            policies.put_policy(tx, policy)
            return replace(rollout, state=RolloutState.ROLLED_BACK, reason=reason)

        return await self._change_rollout(org, rollout_id, back, also=RolloutState.DONE)

    async def advance_running(self) -> None:
        """Look at every running roll-out where something has changed since the last time.

        Cheap counts show changes. Now and then everything is read anyway, and bundles are made due:
        counts can stay the same, and another process can have died.
        """
        rolling = await self._store.read(policies.organizations_with_rollouts)
        self._seen = {org: self._seen[org] for org in rolling if org in self._seen}
        for org in rolling:
            now, before = self._world.monotonic(), self._seen.get(org)
            found = await self._store.read(partial(_read_snapshot, org, now))
            if before is not None and (found.is_unchanged(before) or found.is_too_soon(before)):
                continue
            if before is not None and found.at - before.at >= CHECK_INTERVAL:
                self._policies.mark_due(org)
            for rollout in found.rollouts:
                if rollout.state is RolloutState.RUNNING:
                    await self._advance_one(rollout, self._world.now())
            self._seen[org] = replace(found, took=self._world.monotonic() - now)

    async def _advance_one(self, rollout: Rollout, now: int) -> None:
        fares, full = await self._store.read(lambda tx: _progress_and_full(tx, rollout))
        if decide_next(rollout, fares) is RolloutDecision.WAIT:
            return  # the writer is not held for what changes nothing
        alert = self._alerts.new_alert(
            rollout.org,
            "",
            ROLLOUT_HALTED,
            Severity.WARNING,
            f"the roll-out of policy {rollout.policy} version {rollout.version} halted: "
            + _halt_reason(full),
            subject=rollout.id,
        )

        def change(tx: Tx) -> Alert | None:
            current = _require_rollout(tx, rollout.org, rollout.id)
            if current.state is not RolloutState.RUNNING:
                return None
            return settle_rollout(tx, current, alert, now)

        if raised := await self._store.write(change):
            self._alerts.publish_alerts(raised)
        self._policies.mark_due(rollout.org)

    async def _change_rollout(
        self, org: str, rollout_id: str, step: RolloutChange, also: RolloutState | None = None
    ) -> Rollout:
        now = self._world.now()

        def change(tx: Tx) -> tuple[Rollout, list[Alert]]:
            rollout = _require_rollout(tx, org, rollout_id)
            if rollout.state not in OPEN_STATES and rollout.state is not also:
                raise ConflictError("rollout_over", f"this roll-out is {rollout.state}")
            changed = replace(step(tx, rollout), changed_at=now)
            policies.put_rollout(tx, changed)
            if changed.state is RolloutState.HALTED:
                return changed, []
            over = alerts.resolve_alerts(
                tx, org, [ROLLOUT_HALTED], [""], now=now, subject=rollout_id
            )
            return changed, over

        changed, over = await self._store.write(change)
        self._policies.mark_due(org)
        self._alerts.publish_alerts(*over)
        return changed


def settle_rollout(tx: Tx, rollout: Rollout, alert: Alert, now: int) -> Alert | None:
    """Make the next decision of a running roll-out; the alert if that is a halt."""
    fares, full = _progress_and_full(tx, rollout)
    match decide_next(rollout, fares):
        case RolloutDecision.HALT:
            halted = replace(
                rollout, state=RolloutState.HALTED, reason=_halt_reason(full), changed_at=now
            )
            policies.put_rollout(tx, halted)
            return next(iter(alerts.fire_alerts(tx, alert)), None)
        case RolloutDecision.FINISH:
            policies.put_rollout(tx, _finish_rollout(tx, rollout, now))
        case RolloutDecision.ADVANCE:
            policies.put_rollout(tx, replace(rollout, step=rollout.step + 1, changed_at=now))
        case RolloutDecision.WAIT:
            pass
    return None


def _finish_rollout(tx: Tx, rollout: Rollout, now: int) -> Rollout:
    """Make its version the stable one; the row to store."""
    policy = require_policy(tx, rollout.org, rollout.policy)
    policies.put_policy(tx, replace(policy, stable=rollout.version, changed_at=now))
    return replace(rollout, state=RolloutState.DONE, reason="", changed_at=now)


def rollout_progress(tx: Tx, rollout: Rollout) -> Progress:
    """Outcomes of the agents that the step reaches; one without its bundle yet is waited for.

    An agent whose policies exceed a bundle has failed: it gets none.
    """
    return _progress_and_full(tx, rollout)[0]


def _progress_and_full(tx: Tx, rollout: Rollout) -> tuple[Progress, int]:
    """The progress, and how many of the failed agents have no room."""
    policy = require_policy(tx, rollout.org, rollout.policy)
    members = agents.list_targeted_agents(tx, rollout.org)
    every = targeted_agents(policy, members)
    outcomes, having = {}, {}
    for vault, outcome, held in policies.list_outcomes(tx, rollout.org):
        having[vault] = held
        if held.get(rollout.policy) == rollout.version:
            outcomes[vault] = outcome
    within = reached_agents(rollout, every, having)
    counted = count_outcomes(outcomes[vault] for vault in within if vault in outcomes)
    without = within - outcomes.keys()
    full = agents_over_capacity(tx, rollout.org, without)
    waited = without - full
    waited |= {vault for vault in within if outcomes.get(vault) in PENDING_OUTCOMES}
    new = added_agents(rollout, within, len(every))
    fares = replace(
        counted,
        wanted=len(waited),
        failed=counted.failed + len(full),
        total=len(every),
        away=_away_agents(tx, rollout, [one for one in members if one.vault in waited]),
        added=len(new),
        shown=sum(1 for vault in new if outcomes.get(vault) is Outcome.APPLIED),
    )
    return fares, len(full)


def _away_agents(tx: Tx, rollout: Rollout, waited: list[TargetedAgent]) -> int:
    """How many of these were away before the version was offered to them.

    An agent that has not reported on several bundles may have got it with an earlier one than the
    last: at the earliest when the roll-out began.
    """
    silent = [one for one in waited if is_silent(one)]
    if not silent:
        return 0
    made = policies.unanswered_bundles(
        tx, rollout.org
    )  # who is not in it has no bundle to be offered
    count = 0
    for one in silent:
        if (bundle := made.get(one.vault)) is not None:
            offered = bundle.made_at if bundle.is_next else min(rollout.created_at, bundle.made_at)
            count += is_away(one, offered)
    return count


def _halt_reason(full: int) -> str:
    reason = "more agents refused it than its plan allows"
    return f"{reason}; {full} of them should have {LIMIT_TEXT}" if full else reason


def _require_none_open(tx: Tx, policy: Policy) -> None:
    for rollout in policies.open_rollouts(tx, policy.org):
        if rollout.policy == policy.name:
            raise rollout_open(rollout)


def _require_not_in_use(tx: Tx, policy: Policy, version: int, plan: Plan) -> None:
    """Raise `ConflictError` if more bundles have the version than the first step reaches.

    An agent whose bundle has it keeps it. If it was rolled back and is tried again before the
    bundles have changed, all of them would keep it.
    """
    if policy.stable == version or step_count(plan) == 1:
        return
    every = policies.list_outcomes(tx, policy.org)
    having = {vault for vault, _, held in every if held.get(policy.name) == version}
    if not having:
        return
    members = agents.list_targeted_agents(tx, policy.org)
    still = sum(1 for one in members if one.life in ASSIGNED_LIVES and one.vault in having)
    if still > agents_reached(plan, 0, len(targeted_agents(policy, members))):
        raise ConflictError(
            "still_there",
            f"{still} agents still have this version in their bundles, more than the first step "
            "reaches: try again when they have been given the stable one, or begin with as many",
        )


def _read_snapshot(org: str, now: float, tx: Tx) -> RolloutSnapshot:
    every = policies.list_policies(tx, org)
    return RolloutSnapshot(
        policies.open_rollouts(tx, org), every, policies.count_by_outcome(tx, org), now
    )


def _require_rollout(tx: Tx, org: str, rollout_id: str) -> Rollout:
    found = policies.get_rollout(tx, org, rollout_id)
    if found is None:
        raise NotFoundError("not_found", "there is no such roll-out")
    return found
