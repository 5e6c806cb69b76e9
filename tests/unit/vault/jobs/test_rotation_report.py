"""What an agent counts of its rotations, and what it tells the channels that policies name."""

from dataclasses import dataclass, field
from typing import Any, Final

import trio
from msgspec.structs import replace

from actors.testing import FakeWorld
from protocols.instant import DAY, HOUR, MINUTE, SECOND
from protocols.link.limits import MAX_ROTATION_NOTICES
from protocols.link.vocabulary import RotationEvent
from vault.jobs.rotation_report import MAX_LAGGING, RotationReporter, RotationReportParts
from vault.model.records import FolderPolicyRow, RecordStatus, RotationRow, SecretRow
from vault.model.rotation import AdoptionState, AdoptionStatus

NOW: Final = 1_800_000_000 * SECOND
POLICY: Final = {"rotator": "generated"}


@dataclass
class Vault:
    """Secrets and rotations; `lagging`: whose consumers are known to lag."""

    secrets: list[SecretRow] = field(default_factory=list)
    rotations: list[RotationRow] = field(default_factory=list)
    folders: list[FolderPolicyRow] = field(default_factory=list)
    lagging: set[str] = field(default_factory=set)
    adoption_of: set[str] = field(default_factory=set)
    reports: bool = True
    looks: int = 0
    world: FakeWorld = field(default_factory=lambda: FakeWorld(NOW))
    look_seconds: float = 0.0

    async def list_page(
        self, _state: str, after: tuple[str, int] | None, limit: int
    ) -> list[RotationRow]:
        """In the order of the keys, in small pages."""
        await trio.lowlevel.checkpoint()
        self.looks += after is None
        self.world.advance(self.look_seconds)
        rows = sorted(self.rotations, key=lambda row: (row.secret_id, row.number))
        behind = [row for row in rows if after is None or (row.secret_id, row.number) > after]
        return behind[: min(limit, 2)]

    async def list_secrets(self, _folder: str, after: str, limit: int) -> list[SecretRow]:
        """By name."""
        await trio.lowlevel.checkpoint()
        rows = sorted(self.secrets, key=lambda row: row.name)
        return [row for row in rows if row.name > after][: min(limit, 2)]

    async def list_folder_policies(self) -> list[FolderPolicyRow]:
        """All."""
        await trio.lowlevel.checkpoint()
        return self.folders

    async def adoption(self, row: RotationRow, _window: int) -> AdoptionStatus:
        """Known of some."""
        await trio.lowlevel.checkpoint()
        self.adoption_of.add(row.secret_id)
        if row.secret_id in self.lagging:
            return AdoptionStatus(state=AdoptionState.WAITING, laggards=["app"])
        return AdoptionStatus(state=AdoptionState.UNKNOWN)

    def reporter(self) -> RotationReporter:
        """Of this vault."""
        parts = RotationReportParts(
            source=self,
            adoption=self.adoption,
            opaque_id=lambda kind, id_: f"{kind[:3]}:{id_}".encode(),
            is_reporter=lambda: self.reports,
            world=self.world,
        )
        return RotationReporter(parts)

    def add(self, name: str, due: int = 0, policy: Any = POLICY, **more: Any) -> None:
        """A secret whose id is its name."""
        fields = {"status": RecordStatus.ACTIVE, "rotation_policy": policy, **more}
        row = SecretRow(
            name=name, id=name, created_at=0, updated_at=0, created_by="", rotation_due=due,
            **fields,
        )  # fmt: skip
        self.secrets.append(row)

    def rotated(self, name: str, number: int, state: str, **more: Any) -> None:
        """A rotation of a secret."""
        fields = {
            "policy": POLICY,
            "cause": "schedule",
            "began_at": NOW - HOUR,
            "previous": 1,
            "next_at": 0,
        }
        row = RotationRow(
            secret_id=name, number=number, path=name, state=state, **{**fields, **more}
        )
        self.rotations.append(row)


async def test_secrets_are_counted_by_policy_and_time() -> None:
    """A folder's policy counts for what has none; a disabled one owes nothing."""
    vault = Vault()
    vault.folders.append(FolderPolicyRow(path="db/", policy=POLICY, updated_at=0, updated_by=""))
    vault.add("a-none", policy=None)
    vault.add("db/inner/folder", policy=None)
    vault.add("due", due=NOW + DAY)
    vault.add("later", due=NOW + DAY + 1)
    vault.add("just", due=NOW - HOUR + 1)
    vault.add("over", due=NOW - HOUR)
    vault.add("older", due=NOW - 3 * DAY)
    vault.add("off", due=NOW - DAY, policy={**POLICY, "enabled": False})
    vault.add("gone", due=NOW - DAY, status=RecordStatus.DELETED)
    reporter = vault.reporter()
    await reporter.refresh()
    report = reporter.counts
    assert (report.policies, report.unmanaged) == (7, 1)
    assert (report.due, report.next_due) == (2, NOW - HOUR + 1)
    assert (report.overdue, report.overdue_since) == (2, NOW - 3 * DAY)


async def test_rotations_are_counted_by_their_last_state() -> None:
    """Each secret once, over the ends of pages."""
    vault = Vault()
    states = ("planned", "applied", "current", "adopted", "undoing", "stuck", "retired", "undone")
    for number, state in enumerate(states):
        vault.rotated(f"s{number}", 1, "retired", current_at=NOW - 31 * DAY)
        vault.rotated(f"s{number}", 2, "retired", current_at=NOW - 2 * DAY)
        vault.rotated(f"s{number}", 3, state, current_at=NOW - HOUR if state == "retired" else 0)
        vault.add(f"s{number}")
    reporter = vault.reporter()
    await reporter.refresh()
    report = reporter.counts
    assert (report.running, report.waiting, report.stuck, report.failing) == (4, 1, 1, 1)
    assert (report.rotated_day, report.rotated_month) == (1, 9)


async def test_a_rotation_that_fails_again_and_again_is_overdue_since_the_first() -> None:
    """Though each failure postpones it; what a person cancelled or asked for is not owed."""
    vault = Vault()
    vault.add("fails", due=NOW + MINUTE)
    vault.rotated("fails", 1, "retired")
    vault.rotated("fails", 2, "undone", error_code="target_down", began_at=NOW - 5 * HOUR)
    vault.rotated("fails", 3, "undone", error_code="target_down", began_at=NOW - HOUR)
    vault.add("cancelled", due=NOW + MINUTE)
    vault.rotated("cancelled", 1, "undone", error_code="cancelled")
    vault.add("asked")
    vault.rotated("asked", 1, "undone", error_code="target_down", cause="request")
    reporter = vault.reporter()
    await reporter.refresh()
    report = reporter.counts
    assert (report.failing, report.overdue, report.overdue_since) == (2, 1, NOW - 5 * HOUR)


def sent_notices(reporter: RotationReporter) -> list[tuple[str, str]]:
    """Event and secret of each notice."""
    return [(each.event, each.secret.decode()) for each in reporter.counts.notices]


async def test_channels_are_notified_of_what_the_policy_names() -> None:
    """By the policy that the rotation began with; who lags is told when it is known."""
    vault = Vault()
    notify = {"channels": ["on call"], "events": [*RotationEvent]}
    every = {**POLICY, "grace": HOUR, "notify": notify}
    vault.rotated("done", 1, "retired", policy=every, current_at=NOW - HOUR)
    vault.rotated("long ago", 1, "retired", policy=every, current_at=NOW - DAY)
    vault.rotated("stuck", 1, "stuck", policy=every)
    vault.rotated("undone", 1, "undone", policy=every, error_code="target_down")
    vault.rotated("quiet", 1, "stuck")
    some = {**POLICY, "notify": {"channels": ["x"], "events": ["failed"]}}
    vault.rotated("choosy", 1, "stuck", policy=some)
    for name in ("lags", "unknown"):
        vault.rotated(name, 1, "current", policy=every, current_at=NOW - HOUR // 2)
    vault.rotated("early", 1, "current", policy=every, current_at=NOW - HOUR // 2 + 1)
    vault.lagging = {"lags", "early"}
    reporter = vault.reporter()
    await reporter.refresh()
    assert sent_notices(reporter)[:3] == [
        ("stuck", "sec:stuck"), ("failed", "sec:undone"), ("lagging", "sec:lags"),
    ]  # fmt: skip
    assert {secret for event, secret in sent_notices(reporter)[3:] if event == "rotated"} == {
        "sec:done", "sec:lags", "sec:unknown", "sec:early",
    }  # fmt: skip
    assert {each.channels for each in reporter.counts.notices} == {("on call",)}
    ids = {each.notice for each in reporter.counts.notices}
    assert len(ids) == len(reporter.counts.notices)


async def test_who_lags_is_counted_without_any_policy_that_names_channels() -> None:
    """From half of the grace period on, and for a day behind its end; not where nobody waits."""
    vault, policy = Vault(), {**POLICY, "grace": HOUR}
    half, over = {"current_at": NOW - HOUR // 2}, {"error_code": "adoption_incomplete"}
    vault.rotated("late", 1, "current", policy=policy, **half)
    vault.rotated("on time", 1, "current", policy=policy, **half)
    vault.rotated("early", 1, "current", policy=policy, current_at=NOW - HOUR // 2 + 1)
    vault.rotated("unasked", 1, "current", policy={**policy, "adoption_window": 0}, **half)
    vault.rotated("ending", 1, "adopted", policy=policy, current_at=NOW - HOUR, **over)
    vault.rotated("just", 1, "retired", policy=policy, ended_at=NOW - DAY + 1, **over)
    vault.rotated("past", 1, "retired", policy=policy, ended_at=NOW - DAY, **over)
    vault.rotated("again", 1, "retired", policy=policy, ended_at=NOW - HOUR, **over)
    vault.rotated("again", 2, "retired", policy=policy, ended_at=NOW)
    vault.lagging = {"late", "early", "unasked", "ending", "just", "past", "again"}
    reporter = vault.reporter()
    await reporter.refresh()
    assert (reporter.counts.lagging, reporter.counts.notices) == (3, ())
    assert vault.adoption_of == {"late", "on time", "ending", "just"}
    vault.world.advance(60)
    vault.lagging = {"ending"}
    await reporter.refresh()
    assert reporter.counts.lagging == 1


async def test_late_rotations_are_checked_up_to_a_bound_and_those_with_channels_always() -> None:
    """Each costs queries, however many rotations wait at a time."""
    vault, policy = Vault(), {**POLICY, "grace": HOUR}
    for number in range(MAX_LAGGING + 1):
        vault.rotated(f"a{number}", 1, "current", policy=policy, current_at=NOW - HOUR)
    told = {**policy, "notify": {"channels": ["x"]}}
    vault.rotated("z", 1, "current", policy=told, current_at=NOW - HOUR)
    vault.lagging = {row.secret_id for row in vault.rotations}
    reporter = vault.reporter()
    await reporter.refresh()
    assert reporter.counts.lagging == MAX_LAGGING + 1
    assert sent_notices(reporter) == [("lagging", "sec:z")]


async def test_of_many_notices_the_most_urgent_are_sent() -> None:
    """The list is bounded; the counts are not."""
    vault = Vault()
    policy = {**POLICY, "notify": {"channels": ["x"], "events": ["stuck", "rotated"]}}
    for number in range(MAX_ROTATION_NOTICES + 5):
        vault.rotated(f"a{number}", 1, "retired", policy=policy, current_at=NOW - HOUR)
    vault.rotated("z", 1, "stuck", policy=policy)
    reporter = vault.reporter()
    await reporter.refresh()
    assert len(sent_notices(reporter)) == MAX_ROTATION_NOTICES
    assert sent_notices(reporter)[0] == ("stuck", "sec:z")
    assert reporter.counts.rotated_day == MAX_ROTATION_NOTICES + 5


async def test_a_long_look_is_followed_by_a_long_rest() -> None:
    """One hundredth of the time is spent on it, however often it is asked for."""
    vault = Vault(look_seconds=10)
    reporter = vault.reporter()
    for _ in range(98):
        await reporter.refresh()
        vault.world.advance(10)
    assert vault.looks == 1
    for _ in range(3):
        vault.world.advance(10)
        await reporter.refresh()
    assert vault.looks == 2


async def test_one_agent_of_a_database_reports() -> None:
    """What it no longer counts it does not report either; what is the same is no news."""
    vault = Vault()
    vault.add("a")
    reporter = vault.reporter()
    await reporter.refresh()
    first = reporter.report
    vault.world.advance(60)
    await reporter.refresh()
    assert reporter.report is first
    vault.add("b")
    vault.world.advance(60)
    await reporter.refresh()
    assert reporter.report == replace(reporter.counts, policies=2, at=NOW + 120 * SECOND)
    vault.reports = False
    await reporter.refresh()
    assert reporter.report is None
    assert vault.looks == 3
