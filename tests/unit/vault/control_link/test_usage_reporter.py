"""Reports of use: hour by hour, each thing once, and no more than the owner lets out."""

from dataclasses import dataclass, field
from typing import cast

import pytest
import trio
import trio.lowlevel

from protocols.link import messages as m
from protocols.link.codec import encode_payload
from protocols.link.vocabulary import OperationName
from tests.unit.vault.control_link.samples import NANO, TrioWorld
from vault.control_link.ports import UsageTally
from vault.control_link.usage_reporter import HOUR, UNSEEN, SharingLevel, UsageReporter, UsageSource
from vault.errors import UnavailableError
from vault.metrics import Metrics
from vault.model.operation import Operation
from vault.model.usage import IdentityUsage, ReportUsage, SecretUsage, UsageReport

NONE = (0,) * 7
NAMED = SecretUsage(opaque=b"o" * 16, name="db/password", reads=3, last_read=5_000_000,
                    rotated_at=4_000_000, expires_at=-1)  # fmt: skip
SEEN = UsageReport(
    total=4, never_read=1, expired=2, idle=NONE, age=NONE, expires=NONE, named=(NAMED,),
    identities=(IdentityUsage(opaque=b"i" * 16, name="ann", count=3),),
)  # fmt: skip


@dataclass
class Vault:
    """Answers every look."""

    world: TrioWorld
    metrics: Metrics = field(default_factory=Metrics)
    tally: UsageTally = field(default_factory=UsageTally)
    is_open: bool = True
    slow: float = 0.0
    fault: Exception | None = None
    asked: list[ReportUsage] = field(default_factory=list)

    async def run(self, op: Operation) -> object:
        """See `vault.seal.manager`."""
        await trio.sleep(self.slow)
        assert (op.name, op.service, op.path) == ("usage.look", "control-plane", "sys/usage")
        self.asked.append(cast("ReportUsage", op.payload))
        if self.fault is not None:
            raise self.fault
        return SEEN

    def reports(
        self, share: SharingLevel = SharingLevel.OPAQUE, interval: float = 900
    ) -> UsageReporter:
        """Of this vault."""
        source = UsageSource(self.run, lambda: self.is_open, self.metrics.totals, self.tally)
        return UsageReporter(source, share, interval, self.world)


@pytest.fixture
def vault() -> Vault:
    """On a clock that jumps."""
    return Vault(TrioWorld())


async def test_an_hour_is_told_again_and_again_and_then_no_more(
    vault: Vault, autojump_clock: object
) -> None:
    """From its beginning each time; the last one ends with the hour, and the next begins there."""
    vault.metrics.count_operation("secret.read", "ok")
    reports = vault.reports()
    begun = vault.world.now()
    for status in ("ok", "authorization"):
        vault.metrics.count_operation("secret.read", status)
    vault.metrics.count_operation("made.up", "ok")
    vault.tally.reads["id"] = 3
    first = await reports.make_report()
    assert encode_payload(first)
    counts = {str(one.name): (one.count, one.failed) for one in first.operations}
    assert counts == {"secret.read": (2, 1), "other": (1, 0)}
    assert first.since == begun // 10**6
    vault.metrics.count_operation("secret.read", "ok")
    left = (HOUR - begun % HOUR) / NANO
    await trio.sleep(left + 20)
    last = await reports.make_report()
    assert (last.since, last.until * 10**6) == (first.since, begun - begun % HOUR + HOUR)
    assert {str(one.name): one.count for one in last.operations}["secret.read"] == 3
    assert vault.asked[-1].reads == {"id": 3}
    after = await reports.make_report()
    assert (after.since, after.operations) == (last.until, ())
    assert vault.asked[-1].reads == {}


async def test_hours_that_nobody_saw_are_left_out(vault: Vault, autojump_clock: object) -> None:
    """A machine that slept begins with the hour that it woke in."""
    reports = vault.reports()
    await trio.sleep(5 * 3600)
    await reports.make_report()
    now = vault.world.now()
    assert (await reports.make_report()).since * 10**6 == now - now % HOUR


async def test_names_stay_and_ids_go(vault: Vault, autojump_clock: object) -> None:
    """What is sent of a secret is its opaque id and numbers; a time that is off is none."""
    told = await vault.reports().make_report()
    [one] = told.named
    assert (one.secret, one.reads, one.last_read, one.rotated_at) == (b"o" * 16, 3, 5, 4)
    assert one.expires_at == 0
    assert [i.identity for i in told.identities] == [b"i" * 16]
    assert b"password" not in encode_payload(told)
    assert (told.secrets.total, told.secrets.never_read, told.secrets.expired) == (4, 1, 2)


async def test_aggregates_ask_for_no_names(vault: Vault, autojump_clock: object) -> None:
    """The vault is not even asked for them."""
    await vault.reports(SharingLevel.AGGREGATES).make_report()
    assert not vault.asked[0].opaque


@pytest.mark.parametrize("trouble", ["sealed", "away", "slow"])
async def test_without_a_look_operations_are_told_all_the_same(
    vault: Vault, trouble: str, autojump_clock: object
) -> None:
    """Sealed, failing, or still owed the rest after a long look."""
    vault.is_open = trouble != "sealed"
    vault.fault = UnavailableError("store", "gone") if trouble == "away" else None
    vault.slow = 10.0 if trouble == "slow" else 0.0
    reports = vault.reports()
    vault.metrics.count_operation("sys.seal", "ok")
    if trouble == "slow":
        assert (await reports.make_report()).secrets.total == 4
    told = await reports.make_report()
    assert [one.name for one in told.operations] == [OperationName.SYS_SEAL]
    assert len(vault.asked) == (trouble != "sealed")
    if trouble != "slow":
        assert told.secrets == UNSEEN
        return
    assert told.secrets.total == 4  # as of the look
    await trio.sleep(990)
    assert (await reports.make_report()).secrets.at > told.secrets.at


async def test_a_vault_that_nobody_uses_is_looked_at_once_a_minute(
    vault: Vault, autojump_clock: object
) -> None:
    """A look is a record of the audit log. What was found stands until then; use ends the wait."""
    reports = vault.reports()
    first = await reports.make_report()
    for _ in range(29):
        await trio.sleep(2)
        assert (await reports.make_report()).secrets == first.secrets
    assert len(vault.asked) == 1
    await trio.sleep(2)
    assert (await reports.make_report()).secrets.at > first.secrets.at
    assert len(vault.asked) == 2
    vault.metrics.count_operation("usage.look", "ok")
    vault.metrics.count_operation("usage.expiring", "ok")
    await reports.make_report()
    assert len(vault.asked) == 2
    vault.metrics.count_operation("secret.read", "ok")
    await reports.make_report()
    assert len(vault.asked) == 3


@pytest.mark.parametrize("trouble", ["sealed", "away"])
async def test_what_was_used_is_not_taken_back_where_no_look_can_be(
    vault: Vault, trouble: str, autojump_clock: object
) -> None:
    """A later report replaces an earlier one of its hour, so it names what that one named."""
    reports = vault.reports()
    first = await reports.make_report()
    vault.metrics.count_operation("sys.seal", "ok")
    vault.is_open = trouble != "sealed"
    vault.fault = UnavailableError("store", "gone") if trouble == "away" else None
    told = await reports.make_report()
    assert (told.named, told.identities, told.secrets) == (
        first.named, first.identities, first.secrets,
    )  # fmt: skip
    vault.is_open, vault.fault = True, None
    asked = len(vault.asked)
    await reports.make_report()
    assert len(vault.asked) == asked + 1


async def test_it_tells_as_often_as_asked_and_at_each_hours_end(
    vault: Vault, autojump_clock: object
) -> None:
    """Every 40 minutes, and within a minute of the end of each hour."""
    told: list[m.Usage] = []

    async def send(message: m.Usage) -> None:
        told.append(message)

    with trio.move_on_after(4 * 3600):
        await vault.reports(interval=2400).run(send)
    ends = [one for one in told if one.until * 10**6 % HOUR == 0]
    assert 3 <= len(ends) <= 4
    assert len({one.since for one in told}) >= 4
    assert len(told) <= 2 * len({one.since for one in told}) + 1


async def test_off_is_off(vault: Vault, autojump_clock: object) -> None:
    """Nothing is asked, nothing is told."""

    async def send(_: m.Usage) -> None:
        raise AssertionError("it is off")

    await vault.reports(SharingLevel.OFF).run(send)
    assert vault.asked == []


async def test_a_clock_that_was_ahead_and_is_right_again(
    vault: Vault, autojump_clock: object
) -> None:
    """No report ends before it begins, and the hour of then is not waited for."""
    reports = vault.reports()
    vault.world.step_wall(400 * 86_400)
    await reports.make_report()
    vault.world.step_wall(-400 * 86_400)
    told = await reports.make_report()
    assert told.since <= told.until <= vault.world.wall() // 10**6
