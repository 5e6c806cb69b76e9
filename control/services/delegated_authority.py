"""What acts by a person's authority ends with it, in the transaction in which that is lost.

An account loses authority when it is removed, disabled, or given a lower role, at home or as a
guest. Its channels and schedules are then suspended until somebody takes them over, its running
roll-outs are halted, and its approvals that no agent has used are open again (decision 17).

An account whose credentials somebody else resets may have been in wrong hands. It keeps its
authority; what it has issued and nobody has used is withdrawn, and what it has set up is listed
(decision 17).
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from actors import World
from control.ca.store import JoinRecord, JoinState
from control.model.conditions import (
    CREDENTIALS_RESET,
    CRITICAL_UNDELIVERED,
    OWNER_GONE,
    ROLLOUT_HALTED,
)
from control.model.operation import Operation, Origin
from control.model.people import Role
from control.model.policies import RolloutState
from control.model.records import Alert, Severity
from control.services.alerts import Alerts
from control.services.audit_log import append_event, new_audit_event
from control.services.event_bus import Event, EventBus, Topic
from control.store import alerts, channels, compliance, invitations, members, people, policies
from control.store.authority import accounts_relied_on, role_in
from control.store.ca_store import SqlCaTransaction, unused_approvals
from control.store.rows import Tx
from control.store.store import Store
from protocols.pki.names import AgentName

OWNER_ROLE: Final = Role.ADMIN
"""What the owner of a channel or of a schedule has to be."""
APPROVER_ROLE: Final = Role.OPERATOR
"""What whoever approves a request to join, or rolls out, has to be."""
MAX_LISTED: Final = 10
"""How many of a kind an alert names."""


class Delegations(NamedTuple):
    """What an account has set up, by organization. `withdrawn` is gone, `active` goes on.

    Each is a phrase: `channel ops (hooks.example)`.
    """

    withdrawn: dict[str, list[str]]
    active: dict[str, list[str]]

    @property
    def organizations(self) -> list[str]:
        """Where there is any."""
        return sorted({*self.withdrawn, *self.active})


class DelegatedAuthority:
    """Withdraws it; `withdraw_lost` finds what was lost where nobody said so."""

    def __init__(self, store: Store, alerts_: Alerts, bus: EventBus, world: World) -> None:
        self._store = store
        self._alerts = alerts_
        self._bus = bus
        self._world = world

    def withdraw_authority(self, tx: Tx, account: str) -> Callable[[], None]:
        """Stop what acts by authority that `account`, `organization/name`, does not have.

        Call it in the transaction of the change, after it. Returns a function that publishes it, to
        be called once it is durable.
        """
        lost = _Withdrawal(tx, account, self._alerts, self._world)
        lost.suspend_channels()
        lost.suspend_schedules()
        lost.halt_rollouts()
        lost.reopen_joins()
        lost.fire()

        def publish() -> None:
            self._alerts.publish_alerts(*lost.alerts)
            self._bus.publish(*lost.events)

        return publish

    def withdraw_pending(self, tx: Tx, account: str) -> Callable[[], None]:
        """Withdraw what `account` has issued and nobody has used; list what it has set up.

        To be called after its credentials were reset, in the same transaction. Returns as
        `withdraw_authority`.
        """
        return self.review_account(tx, account)[1]

    def review_account(self, tx: Tx, account: str) -> tuple[Delegations, Callable[[], None]]:
        """As `withdraw_pending`, with what was found."""
        review = _Withdrawal(tx, account, self._alerts, self._world)
        found = review.withdraw_pending()

        def publish() -> None:
            self._alerts.publish_alerts(*review.alerts)
            self._bus.publish(*review.events)

        return found, publish

    def record(
        self, tx: Tx, name: str, org: str, target: str, detail: dict[str, Any]
    ) -> Callable[[], None]:
        """Append what the control plane itself did to the organization's audit log.

        Returns what publishes it, to be called once that is durable.
        """
        op = _own(self._world, name, org, target, detail)
        event = _recorded(tx, op, self._world.now())
        return lambda: self._bus.publish(event)

    async def withdraw_lost(self) -> None:
        """Check every account that something relies on.

        That finds what was made in the moment of a removal, and what an older release left.
        """
        for account in await self._store.read(_accounts_without_authority):
            publish = await self._store.write(
                lambda tx, account=account: self.withdraw_authority(tx, account)  # type: ignore[misc]
            )
            publish()


class _Withdrawal:
    """The withdrawals of one account in one transaction."""

    def __init__(self, tx: Tx, account: str, alerts_: Alerts, world: World) -> None:
        self._tx = tx
        self._account = account
        self._make = alerts_.new_alert
        self._world = world
        self._suspended: dict[str, Counter[str]] = {}  # organization → kind → how many
        self.alerts: list[Alert] = []
        self.events: list[Event] = []

    def suspend_channels(self) -> None:
        """Suspend its channels until somebody takes them over."""
        for row in channels.channels_owned(self._tx, self._account):
            if not self._has(row.org, OWNER_ROLE):
                why = self._why(row.org)
                channels.put_channel(self._tx, replace(row, suspended=why))
                self._count(row.org, "channel")
                self._record("channels.suspend", row.org, row.id, {"name": row.name, "why": why})

    def suspend_schedules(self) -> None:
        """Suspend its report schedules until somebody takes them over."""
        for row in compliance.schedules_owned(self._tx, self._account):
            if not self._has(row.org, OWNER_ROLE):
                why = self._why(row.org)
                compliance.put_schedule(self._tx, replace(row, suspended=why))
                self._count(row.org, "report schedule")
                detail = {"title": row.title, "why": why}
                self._record("report-schedules.suspend", row.org, row.id, detail)

    def halt_rollouts(self) -> None:
        """Halt its roll-outs until somebody advances them or rolls them back."""
        for row in policies.list_running_rollouts(self._tx, self._account):
            if self._has(row.org, APPROVER_ROLE):
                continue
            begun = row.created_by == self._account
            why = self._why(row.org, "made" if begun else "advanced")
            now = self._world.now()
            halted = replace(row, state=RolloutState.HALTED, reason=why, changed_at=now)
            policies.put_rollout(self._tx, halted)
            said = f"the roll-out of policy {row.policy} version {row.version} halted: {why}"
            alert = self._make(row.org, "", ROLLOUT_HALTED, Severity.WARNING, said, subject=row.id)
            self.alerts += alerts.fire_alerts(self._tx, alert)
            self._record("rollouts.halt", row.org, row.id, {"reason": why})

    def reopen_joins(self) -> None:
        """Reopen its approvals that no agent has used: somebody else decides."""
        for row in unused_approvals(self._tx, self._account):
            if row.name is not None and not self._has(row.name.org, APPROVER_ROLE):
                self._reopen_join(row, row.name, self._why(row.name.org))

    def withdraw_pending(self) -> Delegations:
        """Withdraw what was issued and not used. Fires an alert where there is anything to review.

        Enrolment tokens have ended with the credentials (`people.delete_tokens`).

        Channels, schedules and roll-outs go on: most resets are of forgotten passwords, and a
        suspended channel loses alerts.
        """
        tx, account, why = self._tx, self._account, f"the credentials of {self._account} were reset"
        gone: dict[str, list[str]] = {}
        left: dict[str, list[str]] = {}
        for invited in invitations.open_invitations_of(tx, account, self._world.now()):
            invitations.delete_invitation(tx, invited.org, invited.id)
            detail = {"email": invited.email, "why": why}
            self._record("invitations.revoke", invited.org, invited.id, detail)
            gone.setdefault(invited.org, []).append(f"invitation of {invited.email}")
        for join in unused_approvals(tx, account):
            if join.name is not None:
                self._reopen_join(join, join.name, why)
                gone.setdefault(join.name.org, []).append(f"approval of {join.name.vault}")
        for channel in channels.channels_owned(tx, account):
            to = ", ".join(channel.terms.to) or channel.host
            left.setdefault(channel.org, []).append(f"channel {channel.name} ({to})")
        for schedule in compliance.schedules_owned(tx, account):
            left.setdefault(schedule.org, []).append(f"report schedule {schedule.title}")
        for rollout in policies.list_running_rollouts(tx, account):
            named = f"roll-out of policy {rollout.policy} version {rollout.version}"
            left.setdefault(rollout.org, []).append(named)
        found = Delegations(gone, left)
        for org in found.organizations:
            message = f"{why}: {_review_text(gone.get(org, []), left.get(org, []))}"
            alert = self._make(
                org, "", CREDENTIALS_RESET, Severity.WARNING, message, subject=account
            )
            self.alerts += alerts.fire_alerts(tx, alert)
        return found

    def _reopen_join(self, row: JoinRecord, name: AgentName, why: str) -> None:
        pending = replace(
            row, state=JoinState.PENDING, name=None, replace=False, decided_by="", decided_at=None
        )
        SqlCaTransaction(self._tx).put_join(pending)
        self._record("joins.reopen", name.org, row.id, {"vault": name.vault, "why": why})

    def fire(self) -> None:
        """Report what was suspended to the people who are left."""
        for org, counts in self._suspended.items():
            said = " and ".join(
                f"{count} {kind}" if count == 1 else f"{count} {kind}s"
                for kind, count in sorted(counts.items())
            )
            verb = "is" if sum(counts.values()) == 1 else "are"
            message = f"{said} {verb} suspended, {self._why(org)}: take over or remove"
            alert = self._make(
                org, "", OWNER_GONE, Severity.WARNING, message, subject=self._account
            )
            self.alerts += alerts.fire_alerts(self._tx, alert)
            self.alerts += review_suspensions(
                self._tx, org, self._account, self._make, self._world.now()
            )

    def _has(self, org: str, needed: Role) -> bool:
        role = role_in(self._tx, org, self._account)
        return role is not None and role.covers(needed)

    def _why(self, org: str, deed: str = "made") -> str:
        home, _, name = self._account.partition("/")
        found = people.get_user(self._tx, home, name)
        if found is None:
            now = "was removed"
        elif found.disabled:
            now = "was disabled"
        elif home != org and members.get_membership(self._tx, org, home, name) is None:
            now = "is no member any more"
        else:
            now = f"is {role_in(self._tx, org, self._account)} now"
        return f"{deed} by {self._account}, who {now}"

    def _count(self, org: str, kind: str) -> None:
        self._suspended.setdefault(org, Counter())[kind] += 1

    def _record(self, name: str, org: str, target: str, detail: dict[str, Any]) -> None:
        """Record it in the audit log of its organization, which need not be the account's."""
        op = _own(self._world, name, org, target, detail)
        self.events.append(_recorded(self._tx, op, self._world.now()))


def _review_text(withdrawn: list[str], active: list[str]) -> str:
    """`withdrawn: …; still active, review: …`, shortened to `MAX_LISTED` of each."""
    parts = []
    for said, names in (("withdrawn", withdrawn), ("still active, review", active)):
        shown = ", ".join(names[:MAX_LISTED])
        more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
        parts += [f"{said}: {shown}{more}"] if names else []
    return "; ".join(parts)


def _own(world: World, name: str, org: str, target: str, detail: dict[str, Any]) -> Operation:
    """An operation of the control plane itself."""
    return Operation(
        name=name,
        request_id=world.new_id(),
        credential=None,
        origin=Origin(),
        org=org,
        target=target,
        detail=detail,
    )


def _recorded(tx: Tx, op: Operation, now: int) -> Event:
    placed = append_event(tx, new_audit_event(op, None, "outcome", "ok", now=now))
    return Event(Topic.TRAIL, placed.org, placed.target, placed.operation)


def review_suspensions(
    tx: Tx, org: str, owner: str, make: Callable[..., Alert], now: int
) -> list[Alert]:
    """Fire or resolve the alerts about an organization's suspended channels and schedules.

    Call it after each change of them; `owner`: the owner of the changed one. Returns the alerts
    that have changed, to be published once that is durable.
    """
    rows = channels.list_channels(tx, org)
    suspended = [row for row in rows if row.suspended]
    told: list[Alert] = []
    schedules = [row for row in compliance.list_schedules(tx, org) if row.suspended]
    owners = {row.owner for row in suspended} | {row.owner for row in schedules}
    if owner not in owners:
        told += alerts.resolve_alerts(tx, org, [OWNER_GONE], [""], now=now, subject=owner)
    reached = any(row.is_active and row.tells_critical for row in rows)
    if not reached and any(row.enabled and row.tells_critical for row in suspended):
        alert = make(
            org,
            "",
            CRITICAL_UNDELIVERED,
            Severity.CRITICAL,
            "critical alerts are sent to nobody, since the channels that sent them are suspended: "
            "take one over, or make another",
        )
        return told + alerts.fire_alerts(tx, alert, repeat=False)
    return told + alerts.resolve_alerts(tx, org, [CRITICAL_UNDELIVERED], [""], now=now)


def _accounts_without_authority(tx: Tx) -> list[str]:
    """Accounts that something relies on and that lack the authority for it."""
    return [account for account in sorted(accounts_relied_on(tx)) if _lacks_authority(tx, account)]


def _lacks_authority(tx: Tx, account: str) -> bool:
    needs = [(row.org, OWNER_ROLE) for row in channels.channels_owned(tx, account)]
    needs += [(row.org, OWNER_ROLE) for row in compliance.schedules_owned(tx, account)]
    needs += [(row.org, APPROVER_ROLE) for row in policies.list_running_rollouts(tx, account)]
    needs += [
        (row.name.org, APPROVER_ROLE)
        for row in unused_approvals(tx, account)
        if row.name is not None
    ]
    roles = {org: role_in(tx, org, account) for org in {org for org, _ in needs}}
    return any((role := roles[org]) is None or not role.covers(least) for org, least in needs)
