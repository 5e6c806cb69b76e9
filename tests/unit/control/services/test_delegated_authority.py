"""What acts by an account's authority ends with it, and is taken over by somebody else."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from actors.testing import FakeWorld
from control.authn.provisioning import AccountProvisioner
from control.ca.join_requests import join_fingerprint
from control.ca.store import JoinState
from control.core import Core
from control.errors import AuthorizationError, ConflictError
from control.model.conditions import (
    CREDENTIALS_RESET,
    CRITICAL_UNDELIVERED,
    OWNER_GONE,
    ROLLOUT_HALTED,
)
from control.model.identity import IdentityProvider, LinkedIdentity, SecondFactor, Terms
from control.model.notices import ChannelTerms, Kind, Type
from control.model.people import PLATFORM, Caller, Membership, Role, User
from control.model.policies import Plan, RolloutState, Target
from control.model.policy_documents import Document
from control.model.records import Alert, AlertState, AuditEvent, Severity
from control.services.audit_log import AuditLog
from control.services.channels import ChannelDraft
from control.services.event_bus import Topic
from control.services.notification_queue import fan_out_notices, make_batch
from control.store import channels, identities, members, notices, people, second_factors
from tests.unit.control.ca.harness import Asking
from tests.unit.control.conftest import PASSWORD, ROOT

ANN = Caller("acme", "ann", Role.OWNER, "t")
EVE = "acme/eve"
NOW_NOTHING = {
    "removed": "made by acme/eve, who was removed",
    "disabled": "made by acme/eve, who was disabled",
    "demoted": "made by acme/eve, who is viewer now",
}


async def ended(core: Core, how: str) -> None:
    """Eve loses her authority."""
    if how == "removed":
        await core.people.users.delete_user(ANN, "acme", "eve")
    elif how == "disabled":
        await core.people.users.change_user(ANN, "acme", "eve", role=None, disabled=True)
    else:
        await core.people.users.change_user(ANN, "acme", "eve", role=Role.VIEWER, disabled=None)


@pytest.fixture
async def eve(core: Core) -> Core:
    """With the admin `acme/eve`."""
    await core.people.users.create_user(ANN, "acme", "eve", Role.ADMIN, PASSWORD)
    return core


async def channel(core: Core, by: str = EVE, name: str = "hook", **terms: Any) -> str:
    """The id of a webhook."""
    url = f"https://{name}.example/x"
    draft = ChannelDraft(name, Type.WEBHOOK, enabled=True, terms=ChannelTerms(**terms), url=url)
    held, _ = await core.notifications.channels.create_channel("acme", draft, by)
    return held.channel.id


async def schedule(core: Core, by: str = EVE) -> str:
    """The id of one that is due each day at six."""
    made = await core.compliance.schedules.create_schedule(
        "acme", "Weekly", ["soc2"], when=("0 6 * * *", "UTC"), days=7, by=by
    )
    return made.id


async def firing(core: Core, org: str = "acme") -> dict[str, Alert]:
    """What fires, by code."""
    rows = await core.agents.alerts.list_alerts(org, vault="", before=0, limit=99)
    return {row.code: row for row in rows if row.state is AlertState.FIRING}


async def recorded(trail: AuditLog, org: str = "acme") -> list[tuple[str, str]]:
    """Operations that the control plane itself did, with their target, the oldest first."""
    rows = await trail.events_after(org, 0, 99)
    return [(row.operation, row.target) for row in rows if not row.actor]


@pytest.mark.parametrize("how", NOW_NOTHING)
async def test_channels_and_schedules_are_suspended(eve: Core, world: FakeWorld, how: str) -> None:
    """In the same transaction: nothing is sent or made from then on, and the others are told."""
    mine, other = await channel(eve), await channel(eve, "acme/ann", "other")
    due = await schedule(eve)
    with eve.bus.subscribe(Topic.ALERT, Topic.TRAIL) as heard:
        await ended(eve, how)
        events, _ = await heard.receive()
    row = (await eve.notifications.channels.get_channel("acme", mine)).channel
    assert (row.suspended, row.enabled, row.is_active) == (NOW_NOTHING[how], True, False)
    assert not (await eve.notifications.channels.get_channel("acme", other)).channel.suspended
    assert (await eve.compliance.schedules.get_schedule("acme", due)).suspended == NOW_NOTHING[how]
    assert await recorded(eve.audit.log) == [
        ("channels.suspend", mine), ("report-schedules.suspend", due),
    ]  # fmt: skip
    assert (await eve.audit.log.verify_chain("acme")).broken_at == 0
    fires = await firing(eve)
    assert set(fires) == {OWNER_GONE}
    assert fires[OWNER_GONE].message == (
        f"1 channel and 1 report schedule are suspended, {NOW_NOTHING[how]}: take over or remove"
    )
    assert {event.topic for event in events} == {Topic.ALERT, Topic.TRAIL}
    await eve.store.write(lambda tx: fan_out_notices(tx, world.now()))
    waiting = await eve.store.read(lambda tx: notices.waiting_entries(tx, "acme"))
    assert set(waiting) == {other}  # who is left is told
    world.advance(3 * 86_400)
    await eve.compliance.schedules.request_due()
    assert await eve.compliance.reports.list_reports("acme", 0, 9) == []


async def test_what_was_on_its_way_waits_until_it_is_taken_over(
    eve: Core, world: FakeWorld
) -> None:
    """A message that is made already is not sent either; then it is."""
    mine = await channel(eve)
    alert = eve.agents.alerts.new_alert(
        "acme", "v", "agent_offline", Severity.CRITICAL, "v is away"
    )
    await eve.agents.alerts.fire_alerts(alert)
    await eve.store.write(lambda tx: fan_out_notices(tx, world.now()))
    await ended(eve, "removed")
    await eve.delivery_worker.deliver_due()
    assert (
        await eve.notifications.deliveries.list_deliveries(
            "acme", channel="", state=None, before=0, limit=9
        )
        == []
    )
    await eve.notifications.channels.adopt("acme", mine, "acme/ann")
    row = (await eve.notifications.channels.get_channel("acme", mine)).channel
    assert (row.owner, row.suspended) == ("acme/ann", "")
    held = await eve.notifications.channels.get_channel("acme", mine)
    assert held.waiting == 1
    assert not await firing(eve) or set(await firing(eve)) == {"agent_offline"}


async def test_a_message_that_is_made_is_not_due(eve: Core, world: FakeWorld) -> None:
    """Between the message and its sending, too."""
    mine = await channel(eve)
    await eve.agents.alerts.fire_alerts(
        eve.agents.alerts.new_alert("acme", "v", "x", Severity.CRITICAL, "x")
    )
    await eve.store.write(lambda tx: fan_out_notices(tx, world.now()))
    await eve.store.write(lambda tx: make_batch(tx, "acme", mine, "m1", world.now()))
    due = lambda: eve.store.read(lambda tx: channels.due_deliveries(tx, world.now(), 9))  # noqa: E731
    assert len(await due()) == 1
    await ended(eve, "demoted")
    assert await due() == []
    await eve.notifications.channels.adopt("acme", mine, "acme/ann")
    assert len(await due()) == 1


async def test_nobody_is_left_to_be_told(eve: Core) -> None:
    """Critical alerts without a destination are a condition that fires until there is one."""
    mine = await channel(eve)
    partial = await channel(eve, "acme/ann", "partial", tags=("prod",))
    await channel(eve, "acme/ann", "ends", kinds=(Kind.RESOLVED,))
    await ended(eve, "removed")
    fires = await firing(eve)
    assert set(fires) == {OWNER_GONE, CRITICAL_UNDELIVERED}
    assert fires[CRITICAL_UNDELIVERED].severity is Severity.CRITICAL
    await eve.notifications.channels.remove_channel("acme", partial)
    assert CRITICAL_UNDELIVERED in await firing(eve)
    await channel(eve, "acme/ann", "new")
    assert set(await firing(eve)) == {OWNER_GONE}
    await eve.notifications.channels.remove_channel("acme", mine)
    assert await firing(eve) == {}


async def test_a_suspended_channel_is_neither_tried_nor_taken_by_a_change(
    eve: Core,
) -> None:
    """Only to take it over ends it: another address or name does not."""
    mine = await channel(eve)
    await ended(eve, "removed")
    with pytest.raises(ConflictError, match="channel_suspended"):
        await eve.notifications.channels.send_test("acme", mine, "acme/ann")
    draft = ChannelDraft(
        "hook", Type.WEBHOOK, enabled=True, terms=ChannelTerms(), url="https://b.example/y"
    )
    held, _ = await eve.notifications.channels.change_channel("acme", mine, draft, "acme/ann")
    assert held.channel.suspended == NOW_NOTHING["removed"]
    assert set(await firing(eve)) == {OWNER_GONE, CRITICAL_UNDELIVERED}


async def test_a_channel_is_whose_address_it_has(eve: Core) -> None:
    """Whoever has it send elsewhere answers for it; another name or severity changes no owner."""
    await channel(eve, "acme/ann", "one")
    mine = await channel(eve, "acme/ann")
    same = ChannelDraft("hook 2", Type.WEBHOOK, enabled=True, terms=ChannelTerms())
    held, _ = await eve.notifications.channels.change_channel("acme", mine, same, EVE)
    assert held.channel.owner == "acme/ann"
    moved = ChannelDraft(
        "hook", Type.WEBHOOK, enabled=True, terms=ChannelTerms(), url="https://eve.example/y"
    )
    held, _ = await eve.notifications.channels.change_channel("acme", mine, moved, EVE)
    assert held.channel.owner == EVE
    await ended(eve, "removed")
    assert (await eve.notifications.channels.get_channel("acme", mine)).channel.suspended


async def test_a_role_that_is_enough_changes_nothing(eve: Core) -> None:
    """An owner who becomes admin, an admin who becomes owner."""
    mine, due = await channel(eve), await schedule(eve)
    for role in (Role.OWNER, Role.ADMIN):
        await eve.people.users.change_user(ANN, "acme", "eve", role=role, disabled=None)
    assert not (await eve.notifications.channels.get_channel("acme", mine)).channel.suspended
    assert not (await eve.compliance.schedules.get_schedule("acme", due)).suspended
    assert (await firing(eve), await recorded(eve.audit.log)) == ({}, [])


async def test_a_schedule_that_is_taken_over_makes_up_for_what_it_missed(
    eve: Core, world: FakeWorld
) -> None:
    """Once."""
    due = await schedule(eve)
    await ended(eve, "removed")
    world.advance(3 * 86_400)
    await eve.compliance.schedules.adopt("acme", due, "acme/ann")
    assert await firing(eve) == {}
    for _ in range(2):
        await eve.compliance.schedules.request_due()
    assert len(await eve.compliance.reports.list_reports("acme", 0, 9)) == 1


async def guest(core: Core) -> None:
    """`acme/eve` is an admin of `beta`, too, and has a channel there."""
    await core.people.users.create_organization("beta", "Beta")
    row = Membership("beta", "acme", "eve", Role.ADMIN, "beta/bea", 1)
    await core.store.write(lambda tx: members.put_membership(tx, row, 1))
    draft = ChannelDraft(
        "theirs", Type.WEBHOOK, enabled=True, terms=ChannelTerms(), url="https://a.example/x"
    )
    await core.notifications.channels.create_channel("beta", draft, EVE)


ENDS: dict[str, Callable[[Core], Awaitable[object]]] = {
    "removed there": lambda core: core.people.members.remove_guest(ROOT, "beta", "acme", "eve"),
    "less there": lambda core: core.people.members.change_guest_role(
        ROOT, "beta", "acme", "eve", Role.OPERATOR
    ),
    "removed at home": lambda core: core.people.users.delete_user(ROOT, "acme", "eve"),
    "disabled at home": lambda core: core.people.users.change_user(
        ROOT, "acme", "eve", role=None, disabled=True
    ),
}


@pytest.mark.parametrize("how", ENDS)
async def test_of_a_guest_it_ends_where_the_guest_was(eve: Core, how: str) -> None:
    """There, and at home only with the account; each is on its own organization's trail."""
    await guest(eve)
    await channel(eve)
    await ENDS[how](eve)
    (there,) = await eve.notifications.channels.list_channels("beta")
    (home,) = await eve.notifications.channels.list_channels("acme")
    assert there.channel.suspended
    assert bool(home.channel.suspended) is how.endswith("home")
    assert [name for name, _ in await recorded(eve.audit.log, "beta")] == ["channels.suspend"]
    assert set(await firing(eve, "beta")) == {OWNER_GONE, CRITICAL_UNDELIVERED}
    if how == "less there":
        assert there.channel.suspended == "made by acme/eve, who is operator now"
    if how == "removed there":
        assert there.channel.suspended == "made by acme/eve, who is no member any more"


async def test_of_a_super_admin_it_ends_in_every_organization(core: Core) -> None:
    """Who may do everything everywhere, and then does not."""
    await core.people.users.create_user(None, PLATFORM, "admin", Role.OWNER, PASSWORD)
    await core.people.users.create_user(None, PLATFORM, "sue", Role.OWNER, PASSWORD)
    mine = await channel(core, "platform/sue")
    await core.people.users.change_user(ROOT, PLATFORM, "sue", role=Role.ADMIN, disabled=None)
    row = (await core.notifications.channels.get_channel("acme", mine)).channel
    assert row.suspended == "made by platform/sue, who is no member any more"


async def rolling(core: Core) -> str:
    """A roll-out by eve that runs."""
    await core.policies.policies.write_version("acme", "app", Document(), "", EVE)
    await core.policies.policies.set_targets("acme", "app", (Target(all=True),))
    made = await core.policies.rollouts.start_rollout("acme", "app", 1, Plan(canary=1), EVE)
    return made.id


async def test_a_rollout_that_runs_halts(eve: Core) -> None:
    """An operator's right is enough for it; with less it waits for somebody, who is told."""
    await eve.people.users.change_user(ANN, "acme", "eve", role=Role.OPERATOR, disabled=None)
    one = await rolling(eve)
    await eve.people.users.change_user(ANN, "acme", "eve", role=Role.ADMIN, disabled=None)
    assert (await eve.policies.rollouts.get_rollout("acme", one))[0].state is RolloutState.RUNNING
    await ended(eve, "demoted")
    row = (await eve.policies.rollouts.get_rollout("acme", one))[0]
    assert (row.state, row.reason) == (RolloutState.HALTED, NOW_NOTHING["demoted"])
    fires = await firing(eve)
    assert set(fires) == {ROLLOUT_HALTED}
    assert fires[ROLLOUT_HALTED].subject == one
    assert await recorded(eve.audit.log) == [("rollouts.halt", one)]
    await eve.policies.rollouts.advance_rollout("acme", one, by="acme/ann")
    assert await firing(eve) == {}
    await eve.authority.withdraw_lost()
    row = (await eve.policies.rollouts.get_rollout("acme", one))[0]
    assert (row.state, row.step, row.created_by) == (RolloutState.RUNNING, 1, EVE)
    assert await firing(eve) == {}


async def test_a_rollout_runs_by_whoever_advanced_it_last(eve: Core) -> None:
    """Also where its maker is still there; the other's removal halts it."""
    await eve.policies.policies.write_version("acme", "app", Document(), "", "acme/ann")
    await eve.policies.policies.set_targets("acme", "app", (Target(all=True),))
    plan = Plan(canary=1, percentages=(10,))
    one = (await eve.policies.rollouts.start_rollout("acme", "app", 1, plan, "acme/ann")).id
    await eve.policies.rollouts.advance_rollout("acme", one, 0, by=EVE)
    await ended(eve, "removed")
    row = (await eve.policies.rollouts.get_rollout("acme", one))[0]
    assert row.state is RolloutState.HALTED
    assert row.reason == "advanced by acme/eve, who was removed"
    await eve.policies.rollouts.advance_rollout("acme", one, 1, by="acme/ann")
    await eve.authority.withdraw_lost()
    assert (await eve.policies.rollouts.get_rollout("acme", one))[0].state is RolloutState.RUNNING


async def test_an_approval_that_is_not_used_ends(eve: Core) -> None:
    """The agent waits for a decision again; one that has come already stays."""
    office = eve.enrolment.ca
    assert office is not None
    asking, came = Asking(), Asking()
    for each, vault in ((asking, "late"), (came, "there")):
        await office.join_requests.submit_request(each.join(), "192.0.2.1")
        (row,) = await office.join_requests.list_pending("acme", 9)
        await office.join_requests.approve_request(
            row.id, join_fingerprint(row), org="acme", vault=vault, by=EVE
        )
    await office.join_requests.submit_request(came.join(), "192.0.2.1")
    await ended(eve, "removed")
    (again,) = await office.join_requests.list_pending("acme", 9)
    assert (again.state, again.name, again.decided_by) == (JoinState.PENDING, None, "")
    assert await recorded(eve.audit.log) == [("joins.reopen", again.id)]
    await office.join_requests.approve_request(
        again.id, join_fingerprint(again), org="acme", vault="late", by="acme/ann"
    )


TERMS = Terms(
    domains=("corp.example",), role_claim="groups", roles={"a": Role.ADMIN, "v": Role.VIEWER}
)
IDP = IdentityProvider("acme", "https://idp.example", "freehold", b"", TERMS, 1)


async def federated(core: Core) -> AccountProvisioner:
    """`acme/fay`, an admin by the claim of a provider."""
    row = User(
        "acme", "fay", Role.ADMIN, "", disabled=False, created_at=1, changed_at=1, last_login=0
    )  # fmt: skip
    known = LinkedIdentity(IDP.issuer, "s-1", "acme", "fay", 1, 1)
    await core.store.write(lambda tx: people.add_user(tx, row))
    await core.store.write(lambda tx: identities.put_identity(tx, known))
    ends = core.federation.federation._provisioner.session_ends
    return AccountProvisioner(core.store, ends, core.authority.record, core.world)


@pytest.mark.parametrize("groups", [["v"], []])
async def test_what_a_provider_takes_away_ends_too(core: Core, groups: list[str]) -> None:
    """A lower role by the claim; or none: no credential counts either, until there is one again."""
    admission = await federated(core)
    mine = await channel(core, "acme/fay")
    fay = Caller("acme", "fay", Role.ADMIN, "t")
    _, token = await core.people.accounts.create_token(fay, "ci", Role.ADMIN, 3600)
    claims = {"sub": "s-1", "email": "fay@corp.example", "email_verified": True}
    try:
        await admission.provision(IDP, {**claims, "groups": groups}, "")
    except AuthorizationError:
        assert not groups
    row = (await core.notifications.channels.get_channel("acme", mine)).channel
    assert row.suspended == "made by acme/fay, who is viewer now"
    held = await core.store.read(lambda tx: people.list_tokens(tx, "acme", "fay"))
    assert token.id not in {each.id for each in held}
    told = (await changes(core))[0]
    assert (told.target, told.actor, told.result) == ("fay", "", "ok")
    assert told.detail == {
        "by": "identity provider", "role_before": "admin", "role": "viewer", "credentials_ended": 1,
    }  # fmt: skip
    user = await admission.provision(IDP, {**claims, "groups": ["a"]}, "")
    assert user.role is Role.ADMIN
    again = (await changes(core))[1]
    assert (again.detail["role_before"], again.detail["role"]) == ("viewer", "admin")
    assert (await core.audit.log.verify_chain("acme")).broken_at == 0


async def changes(core: Core) -> list[AuditEvent]:
    """Records of a changed account."""
    rows = await core.audit.log.events_after("acme", 0, 99)
    return [row for row in rows if row.operation == "users.change_user"]


async def test_a_providers_word_that_changes_nothing_is_not_recorded(core: Core) -> None:
    """Who is shut out already, or signs in with the role that he has."""
    admission = await federated(core)
    claims = {"sub": "s-1", "email": "fay@corp.example", "email_verified": True}
    await admission.provision(IDP, {**claims, "groups": ["a"]}, "")
    assert await changes(core) == []
    for _ in range(2):
        with pytest.raises(AuthorizationError):
            await admission.provision(IDP, {**claims, "groups": []}, "")
    assert len(await changes(core)) == 1


async def test_what_slipped_through_is_found(core: Core) -> None:
    """Made in the moment of the removal, or before this was looked at."""
    mine, due = await channel(core, "acme/gone"), await schedule(core, "acme/gone")
    unknown = await channel(core, "", "old")
    await core.authority.withdraw_lost()
    assert (await core.notifications.channels.get_channel("acme", mine)).channel.suspended
    assert (await core.compliance.schedules.get_schedule("acme", due)).suspended
    assert not (await core.notifications.channels.get_channel("acme", unknown)).channel.suspended
    count = len(await recorded(core.audit.log))
    await core.authority.withdraw_lost()
    assert len(await recorded(core.audit.log)) == count == 2


async def issued(core: Core) -> str:
    """Eve's invitation, token and approval that nobody has used; the id of the request to join."""
    eve = Caller("acme", "eve", Role.ADMIN, "t")
    office = core.enrolment.ca
    assert office is not None
    await core.invitations.invitations.create_invitation(eve, "acme", "m@b.example", Role.ADMIN)
    await office.enrolment.create_token("acme", "mallory", EVE)
    asking = await office.join_requests.submit_request(Asking().join(), "192.0.2.1")
    row = await office.join_requests.get_request(asking.id)
    await office.join_requests.approve_request(
        asking.id, join_fingerprint(row), org="acme", vault="late", by=EVE
    )
    return asking.id


RESETS: dict[str, Callable[[Core], Awaitable[object]]] = {
    "password": lambda core: core.people.users.set_password(ANN, "acme", "eve", "another password"),
    "second factor": lambda core: core.people.second_factors.reset_factor(ANN, "acme", "eve"),
}


@pytest.mark.parametrize("how", RESETS)
async def test_a_reset_withdraws_what_nobody_has_used(eve: Core, how: str) -> None:
    """It may have been issued by a thief. What acts goes on, and everybody there is told."""
    office = eve.enrolment.ca
    assert office is not None
    factor = SecondFactor("acme", "eve", b"s", confirmed=True, created_at=1, last_step=0)
    await eve.store.write(lambda tx: second_factors.put_factor(tx, factor))
    hook, join = await channel(eve), await issued(eve)
    await schedule(eve)
    rollout = await rolling(eve)
    by_ann = Caller("acme", "ann", Role.OWNER, "t")
    await eve.invitations.invitations.create_invitation(by_ann, "acme", "g@b.example", Role.VIEWER)
    await RESETS[how](eve)
    rows = await eve.invitations.invitations.list_invitations("acme")
    assert [row.email for row in rows] == ["g@b.example"]
    [token] = await office.enrolment.list_tokens("acme")
    assert token.expires_at <= eve.world.now()  # as after any end of its maker's credentials
    assert (await office.join_requests.get_request(join)).state is JoinState.PENDING
    assert not (await eve.notifications.channels.get_channel("acme", hook)).channel.suspended
    running = (await eve.policies.rollouts.get_rollout("acme", rollout))[0]
    assert running.state is RolloutState.RUNNING
    assert [name for name, _ in await recorded(eve.audit.log)] == [
        "invitations.revoke", "joins.reopen",
    ]  # fmt: skip
    alert = (await firing(eve))[CREDENTIALS_RESET]
    assert (alert.severity, alert.subject) == (Severity.WARNING, EVE)
    assert alert.message == (
        "the credentials of acme/eve were reset: withdrawn: invitation of m@b.example, approval of "
        "late; still active, review: channel hook (hook.example), "
        "report schedule Weekly, roll-out of policy app version 1"
    )


async def test_a_reset_is_told_wherever_the_account_was(eve: Core) -> None:
    """A guest's channel elsewhere is that organization's to review."""
    await guest(eve)
    await eve.people.users.set_password(ROOT, "acme", "eve", "another password")
    assert set(await firing(eve, "beta")) == {CREDENTIALS_RESET}
    assert await firing(eve) == {}


async def test_many_things_are_counted(eve: Core) -> None:
    """The alert stays short."""
    for number in range(12):
        await channel(eve, name=f"hook{number}")
    await eve.people.users.set_password(ANN, "acme", "eve", "another password")
    assert (await firing(eve))[CREDENTIALS_RESET].message.endswith(" and 2 more")


async def test_ones_own_new_password_withdraws_nothing(eve: Core) -> None:
    """Whoever knows the old one is the owner; nor is there an alert of an account without any."""
    await issued(eve)
    await eve.people.users.set_password(None, "acme", "eve", "another password")
    assert len(await eve.invitations.invitations.list_invitations("acme")) == 1
    await eve.people.users.create_user(ANN, "acme", "vic", Role.VIEWER, PASSWORD)
    await eve.people.users.set_password(ANN, "acme", "vic", "another password")
    assert await firing(eve) == {}
