"""Alerts of secrets that expire: once each, and no more of them than the owner lets out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from protocols.link import codec
from protocols.link import messages as m
from protocols.link.vocabulary import AlertCode, Severity
from tests.support.trio_world import TrioWorld
from tests.unit.vault.control_link.samples import NANO
from vault.control_link.database import LinkDatabase, open_link_database
from vault.control_link.expiry_alerts import ExpiryAlerts, ExpiryWarningConfig
from vault.control_link.outbox import SqlOutbox
from vault.control_link.ports import UsageTally
from vault.control_link.usage_reporter import SharingLevel, UsageSource
from vault.errors import UnavailableError
from vault.metrics import Metrics
from vault.model.operation import Operation
from vault.model.usage import ExpiringReport, ExpiringSecret, FindExpiring

DAY = 86_400 * NANO
WINDOWS = (30 * DAY, 7 * DAY, 1 * DAY)


@dataclass
class Vault:
    """Has secrets by the first letter of their ids, and when they expire."""

    world: TrioWorld = field(default_factory=TrioWorld)
    secrets: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    asked: list[tuple[int, bytes]] = field(default_factory=list)
    is_open: bool = True
    reports: bool = True
    fault: Exception | None = None
    metrics: Metrics = field(default_factory=Metrics)

    async def run(self, op: Operation) -> object:
        """See `vault.seal.manager`."""
        assert (op.name, op.service, op.path) == ("usage.expiring", "control-plane", "sys/usage")
        assert isinstance(op.payload, FindExpiring)
        assert op.payload.within == 30 * DAY
        self.asked.append(op.payload.ended)
        if self.fault is not None:
            raise self.fault
        rows = [
            ExpiringSecret(opaque=id_ * 16, version=version, expires_at=end)
            for id_, (version, end) in self.secrets.items()
        ]
        now = self.world.now()
        soon = [one for one in rows if one.expires_at > now]
        over = [(one.expires_at, one.opaque, one) for one in rows if one.expires_at <= now]
        ended = tuple(one for end, id_, one in sorted(over) if (end, id_) > op.payload.ended)
        return ExpiringReport(secrets=tuple(soon), total=len(soon), ended=ended)

    def has(self, id_: bytes, days: float, version: int = 1) -> None:
        """A secret that expires in so many days."""
        self.secrets[id_] = (version, self.world.now() + round(days * DAY))

    def expiring(
        self,
        share: SharingLevel = SharingLevel.OPAQUE,
        windows: tuple[int, ...] = WINDOWS,
        interval: float = 3600.0,
    ) -> ExpiryAlerts:
        """As a process begins."""
        source = UsageSource(self.run, lambda: self.is_open, self.metrics.totals, UsageTally())
        chosen = ExpiryWarningConfig(windows, interval, share)
        return ExpiryAlerts(source, chosen, self.world, lambda: self.reports)


@dataclass
class Kept:
    """The uplink's database, and its outbox."""

    database: LinkDatabase
    outbox: SqlOutbox

    async def look(
        self, expiring: ExpiryAlerts, code: AlertCode = AlertCode.SECRET_EXPIRING
    ) -> list[tuple[bytes, int]]:
        """Subject and count of what it owes then; all of it is this."""
        before = (await self.outbox.state()).newest
        told = await expiring.scan(self.database, self.outbox)
        entries = (await self.outbox.read(before, 100)).entries
        assert bool(told) == bool(entries)
        found = [codec.decode_payload(entry.name, entry.payload) for entry in entries]
        alerts = [one for one in found if isinstance(one, m.Alert)]
        assert len(alerts) == len(found)
        for one in alerts:
            assert (one.code, one.severity) == (code, Severity.WARNING)
        return [(one.subject, one.count) for one in alerts]


@asynccontextmanager
async def kept(path: Path, world: TrioWorld) -> AsyncIterator[Kept]:
    """A life of the process."""
    async with open_link_database(path, world) as database:
        outbox = SqlOutbox(database, world)
        await outbox.open()
        yield Kept(database, outbox)


async def test_each_window_of_each_version_is_told_once(tmp_path: Path) -> None:
    """By its opaque id; also over restarts; a new version, or another end, is news."""
    vault = Vault()
    vault.has(b"a", 20)
    vault.has(b"b", 5)  # its longest window went by while nobody looked
    path = tmp_path / "uplink.db"
    async with kept(path, vault.world) as here:
        assert await here.look(vault.expiring()) == [(b"a" * 16, 1), (b"b" * 16, 1)]
    async with kept(path, vault.world) as here:
        assert await here.look(vault.expiring()) == []
        vault.has(b"a", 6.5)
        version, end = vault.secrets[b"a"]
        assert await here.look(vault.expiring()) == [(b"a" * 16, 1)]
        assert await here.look(vault.expiring()) == []
        vault.secrets[b"a"] = (version + 1, end)
        assert await here.look(vault.expiring()) == [(b"a" * 16, 1)]
        vault.secrets[b"b"] = (1, vault.secrets[b"b"][1] - 1)
        assert await here.look(vault.expiring()) == [(b"b" * 16, 1)]


async def test_time_alone_opens_the_next_window(tmp_path: Path) -> None:
    """Thirty days, seven, one: three alerts of one secret, and its mark goes when it is over."""
    vault = Vault()
    vault.has(b"a", 29)
    begun = vault.world.now()
    told = []
    async with kept(tmp_path / "uplink.db", vault.world) as here:
        expiring = vault.expiring()
        for day in range(29):
            moved = begun + day * DAY
            vault.world.now = lambda at=moved: at  # type: ignore[method-assign,misc]
            if await here.look(expiring):
                told.append(day)
        assert told == [0, 22, 28]
        vault.secrets.clear()
        vault.world.now = lambda: begun + 30 * DAY  # type: ignore[method-assign]
        await here.look(expiring)
        count = "SELECT count(*) FROM expiring"
        assert await here.database.transact(lambda tx: tx.execute(count).fetchone()[0]) == 0


async def test_what_has_expired_is_told_once(tmp_path: Path) -> None:
    """Over restarts too, however late the look; a new version that ends is news."""
    vault, code = Vault(), AlertCode.SECRET_EXPIRED
    begun = vault.world.now()
    vault.world.now = lambda: begun  # type: ignore[method-assign]
    for id_ in (b"b", b"a"):
        vault.has(id_, -3)
    vault.has(b"c", -31)  # longer ago than any window
    path = tmp_path / "uplink.db"
    async with kept(path, vault.world) as here:
        assert await here.look(vault.expiring(), code) == [(b"a" * 16, 1), (b"b" * 16, 1)]
        assert await here.look(vault.expiring(), code) == []
    async with kept(path, vault.world) as here:
        assert await here.look(vault.expiring(), code) == []
        vault.has(b"a", -1, version=2)
        assert await here.look(vault.expiring(), code) == [(b"a" * 16, 1)]
    assert vault.asked[-1] == (begun - 3 * DAY, b"b" * 16)


async def test_a_clock_that_was_set_back_hides_nothing(tmp_path: Path) -> None:
    """What is told is told up to now at most."""
    vault, code = Vault(), AlertCode.SECRET_EXPIRED
    vault.has(b"a", 20)
    now = vault.world.now()
    async with kept(tmp_path / "uplink.db", vault.world) as here:
        vault.world.now = lambda: now + 25 * DAY  # type: ignore[method-assign]
        assert await here.look(vault.expiring(), code) == [(b"a" * 16, 1)]
        vault.world.now = lambda: now  # type: ignore[method-assign]
        assert len(await here.look(vault.expiring())) == 1
        vault.secrets = {b"b": (1, now + DAY)}
        vault.world.now = lambda: now + 2 * DAY  # type: ignore[method-assign]
        assert await here.look(vault.expiring(), code) == [(b"b" * 16, 1)]
    assert vault.asked[-2:] == [(now, b"")] * 2


async def test_an_alert_that_has_expired_names_nobody_either(tmp_path: Path) -> None:
    """Where opaque ids may not leave: one, with how many."""
    vault, code = Vault(), AlertCode.SECRET_EXPIRED
    vault.has(b"a", -1)
    vault.has(b"b", -2)
    async with kept(tmp_path / "uplink.db", vault.world) as here:
        assert await here.look(vault.expiring(SharingLevel.AGGREGATES), code) == [(bytes(16), 2)]


@pytest.mark.parametrize(("share", "count"), [(SharingLevel.AGGREGATES, 2), (SharingLevel.OFF, 1)])
async def test_no_opaque_id_leaves_unless_the_owner_says_so(
    tmp_path: Path, share: SharingLevel, count: int
) -> None:
    """One alert that names nobody: with how many, or, where nothing is shared, without."""
    vault = Vault()
    vault.has(b"a", 20)
    vault.has(b"b", 5)
    async with kept(tmp_path / "uplink.db", vault.world) as here:
        assert await here.look(vault.expiring(share)) == [(bytes(16), count)]
        assert await here.look(vault.expiring(share)) == []


async def test_what_cannot_be_looked_for_now_is_told_later(tmp_path: Path) -> None:
    """Sealed, without its store, or while another agent reports: nothing is marked."""
    vault = Vault()
    vault.has(b"a", 20)
    async with kept(tmp_path / "uplink.db", vault.world) as here:
        expiring = vault.expiring()
        vault.is_open = False
        assert await here.look(expiring) == []
        vault.is_open, vault.reports = True, False
        assert await here.look(expiring) == []
        assert vault.asked == []
        vault.reports, vault.fault = True, UnavailableError("store", "away")
        assert await here.look(expiring) == []
        vault.fault = None
        assert await here.look(expiring) == [(b"a" * 16, 1)]
        assert expiring.expiring_count == 1


async def test_a_mark_without_its_alert_is_never_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are one transaction: after a failure it is told all the same."""
    vault = Vault()
    vault.has(b"a", 20)
    async with kept(tmp_path / "uplink.db", vault.world) as here:

        def failing(*_: object) -> int:
            raise UnavailableError("uplink_store", "full")

        with monkeypatch.context() as patch:
            patch.setattr(here.outbox, "append_in", failing)
            with pytest.raises(UnavailableError):
                await vault.expiring().scan(here.database, here.outbox)
        assert await here.look(vault.expiring()) == [(b"a" * 16, 1)]


async def test_looks_are_spread_and_seldom(autojump_clock: object) -> None:
    """The first within a minute, the next ones an interval apart; without windows none."""
    vault = Vault()
    expiring = vault.expiring()
    begun = vault.world.monotonic()
    await expiring.wait_next_scan(first=True)
    assert vault.world.monotonic() - begun <= 60
    begun = vault.world.monotonic()
    await expiring.wait_next_scan()
    assert vault.world.monotonic() - begun == 3600
    assert expiring.is_enabled
    assert not vault.expiring(windows=()).is_enabled


async def test_a_vault_that_nobody_uses_is_looked_at_once_a_minute(
    tmp_path: Path, autojump_clock: object
) -> None:
    """However short the interval; use ends the wait, and so does the end of what was found."""
    vault = Vault()
    async with kept(tmp_path / "uplink.db", vault.world) as here:
        expiring = vault.expiring(interval=2.0)

        async def waited() -> float:
            await here.look(expiring)
            begun = vault.world.monotonic()
            await expiring.wait_next_scan()
            return vault.world.monotonic() - begun

        await here.look(expiring)
        await expiring.wait_next_scan()
        assert await waited() == 60
        vault.metrics.count_operation("usage.look", "ok")
        assert await waited() == 60
        vault.metrics.count_operation("secret.write", "ok")
        vault.has(b"a", 11 / 86_400)
        begun = vault.world.monotonic()
        await expiring.wait_next_scan()
        assert vault.world.monotonic() - begun == 2
        await here.look(expiring)
        await expiring.wait_next_scan()
        assert vault.world.monotonic() - begun == 12  # the first look after its end
        vault.fault = UnavailableError("store", "away")
        begun = vault.world.monotonic()
        await here.look(expiring)
        await expiring.wait_next_scan()
        assert vault.world.monotonic() - begun == 2
