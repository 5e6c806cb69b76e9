"""Policies: their versions and targets, and each agent's signed bundle."""

import difflib
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import msgspec
import trio
from msgspec.structs import replace

from actors import World
from actors.periodic import Trigger
from control.errors import ConflictError, NotFoundError, ValidationError
from control.model.conditions import BUNDLE_FULL
from control.model.names import MAX_PAGE, require_slug
from control.model.policies import (
    Assignment,
    AssignmentState,
    Outcome,
    Policy,
    PolicyVersion,
    Rollout,
    Target,
)
from control.model.policy_documents import Document, validate_document
from control.model.records import Alert, Severity
from control.services.alerts import Alerts
from control.services.desired_state import desired_contents
from control.services.event_bus import Event, EventBus, Topic
from control.services.policy_bundles import LIMIT_TEXT, BundleTerms, assign_bundles, renew_bundle
from control.store import agents, alerts, policies, shared_bodies, shared_values
from control.store.policies import RefusalBounds
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import MINUTE, SECOND
from protocols.link.vocabulary import PolicyReason

TIME_REASONS: Final = (str(PolicyReason.NOT_YET_VALID), str(PolicyReason.EXPIRED))
ANSWER_TIMEOUT: Final = 300 * SECOND
"""Until a bundle that was refused for its time is signed anew."""
RENEWAL_INTERVAL: Final = MINUTE
"""Between two bundles that are signed because an agent says that it has a newer one: each costs a
signature, a turn of history and up to 192 KiB on its way. What it says is kept for
`renew_refused`."""
CHUNK: Final = 200  # agents of one transaction: signing them holds the writer for about 20 ms
MAX_VERSION_LEAD: Final = 1_000_000
"""Versions that an agent may have above ours: our database came from a backup. Nobody was ever
given more, and who is believed them leaves no version for the next bundle."""
NOT_ISSUED: Final = "not_issued"
"""Why it is unknown which bundle an agent enforces."""
MAX_DIFF_COST: Final = 400_000  # pairs of equal lines of two documents; difflib takes 1 s for them
MAX_POLICIES: Final = 200  # of one organization; an agent's bundle holds at most 500 documents


class Policies:
    """Writes versions, sets targets, refreshes bundles."""

    def __init__(
        self, store: Store, bus: EventBus, bundle_terms: BundleTerms, alerts: Alerts, world: World
    ) -> None:
        self._store = store
        self._bus = bus
        self._terms = bundle_terms
        self._alerts = alerts
        self._world = world
        self._refreshing = trio.Lock()
        self._comparing = trio.CapacityLimiter(1)
        self._due: set[str] = set()
        self.trigger = Trigger()
        """Rings when `refresh_due` has something to do."""

    async def write_version(
        self, org: str, name: str, document: Document, comment: str, by: str
    ) -> PolicyVersion:
        """Store the next version of a policy; a roll-out brings it to agents."""
        plain = msgspec.to_builtins(validate_document(document, require_slug(name, "policy")))
        now = self._world.now()

        def change(tx: Tx) -> PolicyVersion:
            policy = policy_to_write(tx, org, name, now)
            head = policy.head + 1
            made = PolicyVersion(org, name, head, plain, comment, by, now)
            policies.put_policy(tx, replace(policy, head=head, changed_at=now))
            policies.add_version(tx, made)
            return made

        return await self._store.write(change)

    async def list_policies(self, org: str) -> list[Policy]:
        """Policies by name."""
        return await self._store.read(lambda tx: policies.list_policies(tx, org))

    async def get_policy(self, org: str, name: str) -> Policy:
        """Raises `NotFoundError`."""
        return await self._store.read(lambda tx: require_policy(tx, org, name))

    async def list_versions(self, org: str, name: str, limit: int) -> list[PolicyVersion]:
        """Versions, the newest first. Raises `NotFoundError`."""

        def find(tx: Tx) -> list[PolicyVersion]:
            require_policy(tx, org, name)
            return policies.list_versions(tx, org, name, limit)

        return await self._store.read(find)

    async def get_version(self, org: str, name: str, number: int) -> PolicyVersion:
        """Raises `NotFoundError`."""
        return await self._store.read(lambda tx: require_version(tx, org, name, number))

    async def diff_versions(self, org: str, name: str, old: int, new: int) -> list[str]:
        """A unified diff of two versions, line by line, of their sorted and indented JSON."""
        before = await self.get_version(org, name, old)
        after = await self.get_version(org, name, new)
        return await self._world.run_sync(_diff, before, after, limiter=self._comparing)

    async def set_targets(self, org: str, name: str, targets: tuple[Target, ...]) -> Policy:
        """Set the agents that the policy is for.

        Raises `ConflictError` (`rollout_open`) while a roll-out that changes them is open.
        """
        check_targets(targets)
        now = self._world.now()

        def change(tx: Tx) -> Policy:
            policy = require_policy(tx, org, name)
            for rollout in policies.open_rollouts(tx, org):
                if rollout.policy == name and rollout.targets is not None:
                    raise rollout_open(rollout)
            pointed = replace(policy, targets=targets, changed_at=now)
            policies.put_policy(tx, pointed)
            return pointed

        pointed = await self._store.write(change)
        self.mark_due(org)
        return pointed

    def mark_due(self, org: str) -> None:
        """Mark an organization whose bundles may be out of date, for the job `policies`.

        The job calls `refresh_due`, and rings at once.

        A crash loses the mark; at the next start every organization is due.
        """
        self._due.add(org)
        self.trigger.fire()

    async def refresh_due(self) -> None:
        """Refresh the organizations that are due.

        Raises `UnavailableError`; what failed is due again.

        A failure in one organization does not stop the others: it is raised at the end.
        """
        failed: Exception | None = None
        for org in sorted(self._due):
            self._due.discard(org)
            try:
                await self.refresh_bundles(org)
            except Exception as error:  # noqa: BLE001  # raised below, when the others are done
                self._due.add(org)
                failed = failed or error
            except BaseException:
                self._due.add(org)
                raise
        if failed is not None:
            raise failed

    async def refresh_bundles(self, org: str) -> int:
        """Give each agent the bundle that it should have; how many got another one.

        It may be called at any time and any number of times: it compares, and does what is missing.
        Where a person changes policies meanwhile, it stops and the organization is due again.
        """
        async with self._refreshing:
            turn = await self._refresh_number(org)
            stale, steering = await self._store.read(partial(_stale_assignments, org))
            changed, vaults = 0, list(stale)
            full: set[str] = set()
            for start in range(0, len(vaults), CHUNK):
                some = {vault: stale[vault] for vault in vaults[start : start + CHUNK]}
                piece = RefreshBatch(org, some, steering, turn)
                done = await self._store.write(partial(self._assign, piece, self._world.wall()))
                if done is None:
                    break
                if done.late:
                    self.mark_due(org)
                    break
                changed += len(done.made)
                full.update(done.full)
                self.publish_assignments(*done.made)
                self._alerts.publish_alerts(*done.alerts)
            else:
                await self._resolve_full(org, full)
        return changed

    async def _resolve_full(self, org: str, full: set[str]) -> None:
        """Resolve the alerts of agents whose policies fit into a bundle again."""
        firing = await self._store.read(lambda tx: alerts.firing_agents(tx, org, BUNDLE_FULL))
        for vault in sorted(firing - full):
            await self._alerts.resolve_alerts(org, [BUNDLE_FULL], vault)

    async def renew_refused(self) -> None:
        """Sign bundles again that agents have refused for their time. Raises `UnavailableError`.

        Their clock or ours was wrong, or an agent was away for longer than a bundle may be
        accepted: no change of a policy is needed. It also serves agents that have a newer bundle
        and said so within a minute of getting another.
        """
        now = self._world.wall()

        def change(tx: Tx) -> list[Assignment]:
            since = RefusalBounds(
                refused=now - ANSWER_TIMEOUT,
                behind=now - RENEWAL_INTERVAL,
                beyond=now + ANSWER_TIMEOUT,
            )
            rows = policies.refused_bundles(tx, TIME_REASONS, since, limit=CHUNK)
            return [renew_bundle(tx, self._terms, row, row.contents, now=now) for row in rows]

        self.publish_assignments(*await self._store.write(change))

    async def delete_unused_bodies(self) -> None:
        """Delete rules that no agent's bundle contains any more."""
        await self._store.write(shared_bodies.delete_unused_bodies)

    async def list_assignments(
        self, org: str, name: str = "", *, after: str = "", limit: int = MAX_PAGE
    ) -> list[AssignmentState]:
        """Assigned and enforced policies of agents, by name behind `after`.

        Only agents with `policy`, if it is named. Raises `NotFoundError`.
        """

        def find(tx: Tx) -> list[AssignmentState]:
            if name:
                require_policy(tx, org, name)
            return policies.list_assignment_states(tx, org, having=name, after=after, limit=limit)

        return await self._store.read(find)

    async def get_assignment_state(self, org: str, vault: str) -> AssignmentState | None:
        """The agent's assigned and enforced policies; None if it never had a bundle."""
        return await self._store.read(lambda tx: policies.get_assignment_state(tx, org, vault))

    async def get_assignment(self, org: str, vault: str) -> Assignment | None:
        """The agent's current bundle, for its link; None if it never had one."""
        return await self._store.read(lambda tx: policies.get_assignment(tx, org, vault))

    def record_report(
        self, tx: Tx, org: str, vault: str, told: "BundleReport"
    ) -> AssignmentState | None:
        """Store an agent's status of a bundle, by its number; None if it never had one."""
        row = policies.get_assignment_state(tx, org, vault)
        return None if row is None else self.record_reports(tx, [(row, told)])[0]

    def record_reports(
        self, tx: Tx, told: Sequence[tuple[AssignmentState, "BundleReport"]]
    ) -> list[AssignmentState]:
        """Store the statuses of many agents, one each; their rows afterwards."""
        after = [self._after_report(tx, row, report) for row, report in told]
        changed = [new for new, (row, _) in zip(after, told, strict=True) if new is not row]
        policies.put_reports(tx, changed)
        return after

    def publish_assignments(self, *rows: AssignmentState) -> None:
        """Publish bundles and outcomes that are stored."""
        self._bus.publish(*(Event(Topic.POLICY, a.org, a.vault, a.version) for a in rows))

    def _after_report(self, tx: Tx, row: AssignmentState, told: "BundleReport") -> AssignmentState:
        if told.is_impossible(row):
            return _unknown_row(row, told)
        if not told.is_ahead_of(row):
            return _reported_row(row, told)
        ahead = replace(row, applied=told.enforced_version(row), outcome=Outcome.WANTED, reason="")
        if 0 <= told.now - row.changed_at < RENEWAL_INTERVAL:
            return row if ahead == row else ahead
        return renew_bundle(tx, self._terms, ahead, row.contents, now=told.now)

    async def _refresh_number(self, org: str) -> int:
        """The number of this refresh where several processes may refresh; 0 for a single process.

        A refresh with a higher number has read newer data, so that earlier ones stop.
        """
        if not self._store.lease.shared:
            return 0
        return await self._store.write(lambda tx: shared_values.next_number(tx, f"refresh/{org}"))

    def _assign(self, piece: "RefreshBatch", now: int, tx: Tx) -> "RefreshResult | None":
        """None where a later refresh at another process is under way."""
        org = piece.org
        if piece.number and shared_values.get_shared_value(tx, f"refresh/{org}") != str(
            piece.number
        ):
            return None
        if policies.rollout_inputs(tx, org) != piece.steering:
            return RefreshResult([], [], [], late=True)
        made, full = assign_bundles(tx, self._terms, org, piece.wanted, now=now)
        return RefreshResult(made, self._full_alerts(tx, org, full), full)

    def _full_alerts(self, tx: Tx, org: str, vaults: Sequence[str]) -> list[Alert]:
        """An alert for each of these agents that has none."""
        made = (
            self._alerts.new_alert(
                org,
                vault,
                BUNDLE_FULL,
                Severity.WARNING,
                f"the policies that {vault} should have are {LIMIT_TEXT}: it keeps those it has",
            )
            for vault in vaults
        )
        return alerts.fire_alerts(tx, *made, repeat=False)


class RefreshBatch(msgspec.Struct, frozen=True):
    """Agents of a refresh: their contents, the decisions behind them, the refresh's number."""

    org: str
    wanted: dict[str, dict[str, int]]
    steering: policies.RolloutInputs
    number: int


class RefreshResult(msgspec.Struct, frozen=True):
    """Bundles that were made, and alerts about agents whose policies do not fit."""

    made: list[Assignment]
    alerts: list[Alert]
    full: Sequence[str]
    late: bool = False
    """Nothing was made: what they should have was halted, taken back or changed meanwhile."""


class BundleReport(msgspec.Struct, frozen=True):
    """An agent's `policy_status`: it enforces the version, or refused it for `reason`."""

    version: int
    applied: bool
    reason: str
    now: int

    def is_ahead_of(self, row: AssignmentState) -> bool:
        """Whether the agent has a version that is unknown here: our database came from a backup."""
        return self.enforced_version(row) > row.version

    def is_impossible(self, row: AssignmentState) -> bool:
        """Whether the agent cannot have been given that version."""
        return self.version > max(row.version, row.applied) + MAX_VERSION_LEAD

    def enforced_version(self, row: AssignmentState) -> int:
        """The version that the agent enforces after this report."""
        return self.version if self.applied else row.applied


def require_policy(tx: Tx, org: str, name: str) -> Policy:
    """Raises `NotFoundError`."""
    found = policies.get_policy(tx, org, name)
    if found is None:
        raise NotFoundError("not_found", "there is no such policy")
    return found


def policy_to_write(tx: Tx, org: str, name: str, now: int) -> Policy:
    """The policy, or a new one that is not stored yet. Raises `ValidationError` (`too_many`)."""
    found = policies.get_policy(tx, org, name)
    if found is None:
        if len(policies.list_policies(tx, org)) >= MAX_POLICIES:
            raise ValidationError(
                "too_many", f"an organization has at most {MAX_POLICIES} policies"
            )
        found = Policy(org, name, 0, 0, (), now, now)
    return found


def check_targets(targets: tuple[Target, ...]) -> None:
    """Raises `ValidationError` (`target_invalid`)."""
    for target in targets:
        if (target.vault is not None) + (target.tag is not None) + target.all != 1:
            raise ValidationError(
                "target_invalid", "a target is one of vault, tag and all", field="targets"
            )


def rollout_open(rollout: Rollout) -> ConflictError:
    """The error for a change that a policy's open roll-out does not allow."""
    return ConflictError(
        "rollout_open",
        f"version {rollout.version} of {rollout.policy} has a roll-out on its way "
        f"({rollout.state}, id {rollout.id}): finish it or roll it back first",
    )


def require_version(tx: Tx, org: str, name: str, number: int) -> PolicyVersion:
    """Raises `NotFoundError`."""
    found = policies.get_version(tx, org, name, number)
    if found is None:
        raise NotFoundError("not_found", "there is no such version")
    return found


def _reported_row(row: AssignmentState, told: BundleReport) -> AssignmentState:
    """The row after the agent's report of this bundle or an earlier one.

    A report that it refused a bundle that is not ours says nothing of the one it has.
    """
    applied = told.enforced_version(row)
    if told.version > row.version:
        return row
    if told.version < row.version:
        return replace(row, applied=applied)
    outcome = Outcome.APPLIED if told.applied else Outcome.FAILED
    reason = "" if told.applied else told.reason
    return replace(row, applied=applied, outcome=outcome, reason=reason, changed_at=told.now)


def _unknown_row(row: AssignmentState, told: BundleReport) -> AssignmentState:
    """The row of an agent that says it enforces a version that cannot have been issued to it.

    The version is not stored: no bundle above it could be signed. A refused one says nothing of
    what the agent has.
    """
    if not told.applied or row.outcome is Outcome.UNKNOWN:
        return row
    return replace(row, outcome=Outcome.UNKNOWN, reason=NOT_ISSUED, changed_at=told.now)


def _stale_assignments(
    org: str, tx: Tx
) -> tuple[dict[str, dict[str, int]], policies.RolloutInputs]:
    """Agent → contents, for each whose bundle has other contents; and the decisions behind them."""
    known = {vault: having for vault, _, having in policies.list_outcomes(tx, org)}
    every, moving = policies.list_policies(tx, org), policies.open_rollouts(tx, org)
    wanted = desired_contents(every, moving, agents.list_targeted_agents(tx, org), known)
    stale = {v: wish for v, wish in wanted.items() if wish != known.get(v, {})}
    return stale, policies.rollout_inputs(tx, org)


def _diff(before: PolicyVersion, after: PolicyVersion) -> list[str]:
    """The unified diff; of two texts whose comparison would take too long, one after the other."""
    old, new = _document_lines(before.document), _document_lines(after.document)
    names = str(before.version), str(after.version)
    popular = len(new) // 100 + 1  # difflib leaves out the lines that there are more of
    counts = {line: count for line, count in Counter(new).items() if count <= popular}
    if sum(counts.get(line, 0) for line in old) <= MAX_DIFF_COST:
        return list(difflib.unified_diff(old, new, *names, lineterm=""))
    head = [f"--- {names[0]}", f"+++ {names[1]}", f"@@ -1,{len(old)} +1,{len(new)} @@"]
    return [*head, *(f"-{line}" for line in old), *(f"+{line}" for line in new)]


def _document_lines(document: Any) -> list[str]:
    text = msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2)
    return text.decode().splitlines()
