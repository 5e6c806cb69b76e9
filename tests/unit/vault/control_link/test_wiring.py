"""The link and its files: what passes is tried again, what is damaged is left alone and told."""

import logging
import sqlite3
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path

import pytest
from trio.lowlevel import checkpoint
from trio.testing import wait_all_tasks_blocked

from actors.testing import FakeWorld
from protocols.link.codec import decode_payload
from protocols.link.messages import Alert, MessageType
from protocols.link.vocabulary import AlertCode, Backend, Severity
from tests.unit.vault.config.test_settings import settings
from tests.unit.vault.gatehouse import FakeSystem, FakeUnit
from vault.control_link.null import link_folder
from vault.control_link.wiring import DATABASE, RETRY_DELAY, ControlLink, egress_ledger_for
from vault.metrics import Metrics
from vault.model.health import DiskHealth
from vault.model.link import LinkStatus
from vault.seal.configured_seal import SHARES, ConfiguredSeals
from vault.seal.manager import SealManager
from vault.store.memory import MemoryBackend


class Site:
    """An agent's link over a folder of its own; nobody was ever let in."""

    def __init__(self, folder: Path) -> None:
        storage = {"connection_string": f"sqlite:///{folder / 'vault.db'}"}
        self.settings = settings(storage=storage, control_plane={"enabled": True})
        self.world = FakeWorld()
        self.metrics = Metrics()
        self.linking = ControlLink(self.settings, self.metrics, self.world)
        self.database = link_folder(self.settings) / DATABASE
        self.gate = SealManager(
            system_table=FakeSystem(),
            open_core=FakeUnit().open,
            seals=ConfiguredSeals(SHARES),
            org="org",
            world=self.world,
            check_paths=checkpoint,
        )

    def linked(self) -> AbstractAsyncContextManager[None]:
        """For the length of the block."""
        return self.linking.keep_linked(self.gate, MemoryBackend(), lambda: 0.0)

    @property
    def status(self) -> LinkStatus:
        """As the API has it."""
        assert self.linking.ports.link_status is not None
        return self.linking.ports.link_status()

    @property
    def closed(self) -> bool:
        """As it is scraped."""
        return self.metrics.gauge_value("control_plane_closed") == 1

    async def later(self) -> None:
        """After the pause, when all that can be done is done."""
        await wait_all_tasks_blocked()
        self.world.advance(RETRY_DELAY)
        await wait_all_tasks_blocked()


def owed(database: Path) -> list[tuple[AlertCode, Severity, int]]:
    """The alerts that the control plane is still to be sent."""
    with closing(sqlite3.connect(database)) as connection:
        rows = list(connection.execute("SELECT name, payload FROM outbox ORDER BY id"))
    found = [decode_payload(MessageType(name), payload) for name, payload in rows]
    return [(one.code, one.severity, one.count) for one in found if isinstance(one, Alert)]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Whose files can all be used."""
    return Site(tmp_path)


async def test_a_ledger_in_use_is_tried_again(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Until `agent enrol`, say, has ended; told once. Nothing is open in between, or afterwards."""
    site.database.parent.mkdir()
    other = egress_ledger_for(site.settings, site.world)
    await other.open()
    caplog.set_level(logging.INFO, "freehold.uplink")
    async with site.linked():
        await site.later()
        await site.later()
        trouble = site.status.trouble
        assert "`freehold agent enrol`" in trouble
        assert "next attempt in 60 s" in trouble
        assert "restart" not in trouble
        assert site.closed
        await other.close()
        assert site.closed
        await site.later()
        assert (site.closed, site.status.trouble, site.status.standing) == (False, "", "unenrolled")
        assert site.metrics.gauge_value("control_plane_state") == 0
    assert [record.message for record in caplog.records if "link" in record.message] == [
        trouble,
        "what kept the agent from its link has passed",
    ]
    await other.open()  # given up
    await other.close()


async def test_a_busy_database_is_tried_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody looks at it with another program."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, timeout=0, **k))
    site.database.parent.mkdir()
    with closing(connect(site.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        async with site.linked():
            assert "locked" in site.status.trouble
            assert "next attempt" in site.status.trouble
            other.execute("ROLLBACK")
            await site.later()
            assert site.status.trouble == ""


async def test_a_folder_that_cannot_be_made_is_tried_again(site: Site) -> None:
    """As on a file system that is not there yet."""
    site.database.parent.write_bytes(b"")
    async with site.linked():
        assert "next attempt" in site.status.trouble
        site.database.parent.unlink()
        await site.later()
        assert site.status.trouble == ""


async def test_an_alert_of_the_opening_waits_for_the_link(site: Site) -> None:
    """The vault opens before its link does, and the link's folder may not be there yet."""
    site.linking.ports.raise_alert(AlertCode.STORE_ROLLED_BACK, 1)
    site.database.parent.write_bytes(b"")
    async with site.linked():
        site.linking.ports.raise_alert(AlertCode.STORE_ROLLED_BACK, 1)
        site.database.parent.unlink()
        await site.later()
        site.linking.ports.raise_alert(AlertCode.LOCKOUT, 3)
        await site.later()
    assert owed(site.database) == [
        (AlertCode.STORE_ROLLED_BACK, Severity.CRITICAL, 2),
        (AlertCode.LOCKOUT, Severity.WARNING, 3),
    ]


async def test_a_disk_that_is_low_is_told(site: Site) -> None:
    """Once when it begins, however many places are on it."""
    disks = [DiskHealth(place=name, free=1, total=100, low=True) for name in ("data", "audit")]
    with site.metrics.track_disks(lambda: tuple(disks)):
        async with site.linked():
            await site.later()
            await site.later()
    assert owed(site.database) == [(AlertCode.DISK_LOW, Severity.WARNING, 1)]


async def test_it_ends_in_the_middle_of_trouble(site: Site) -> None:
    """While it waits for the next attempt: at once."""
    site.database.parent.write_bytes(b"")
    async with site.linked():
        await wait_all_tasks_blocked()
        assert site.closed
    assert not site.closed


@pytest.mark.parametrize("name", ["egress.log", "uplink.db"])
async def test_what_is_damaged_is_left_alone(site: Site, name: str) -> None:
    """No attempt is made, also when it is mended: a person restarts the agent."""
    file = site.database.with_name(name)
    file.parent.mkdir()
    file.write_bytes(noise := b"no such thing\n" * 100)
    async with site.linked():
        assert "then restart the agent" in site.status.trouble
        await site.later()
        assert file.read_bytes() == noise
        file.rename(file.with_suffix(".kept"))
        await site.later()
        assert site.closed
        assert not file.exists()


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        (Backend.SQLITE, "sqlite:////data/vault.db"),
        (Backend.POSTGRESQL, "postgresql://ada@db.example/vault"),
        (Backend.MYSQL, "mysql://ada@db.example/vault"),
    ],
)
def test_the_backend_of_the_configuration_is_reported(
    site: Site, tmp_path: Path, kind: Backend, url: str
) -> None:
    """The control plane shows `storage.type` of each agent."""
    configured = settings(
        storage={"type": kind.value, "connection_string": url},
        control_plane={"enabled": True},
        audit={"log_file": tmp_path / "audit.log"},
    )
    link = ControlLink(configured, site.metrics, site.world)
    assert link.make_host(site.gate, lambda: 0.0).facts().backend is kind
