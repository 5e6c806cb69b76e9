"""What an opening stands on: found before it, taken with it, confirmed once the log is open."""

import os
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from actors.testing import FakeWorld
from protocols.instant import SECOND
from tests.unit.vault.seal.anchor.places import AUDIT_KEYS, KEYRING, Log, commit, new_stamp_writer
from vault.audit.broker import open_audit
from vault.audit.checkpoint import log_id_of
from vault.audit.record import decode_record
from vault.audit.retention import RetentionNotice
from vault.audit.sinks.file import FileSink
from vault.audit.testing import NOW, VAULT
from vault.audit.writer import AuditConfig
from vault.barrier import KEYRING_ROW, HmacRowGuard
from vault.crypto.anchor_keys import DerivedAnchorKeys
from vault.crypto.keyring import Keyring
from vault.errors import ConflictError, SetupError, TamperedError, UnavailableError
from vault.model.records import SystemRow
from vault.seal.anchor import acceptance
from vault.seal.anchor.acceptance import Acceptance, AcceptanceSubject
from vault.seal.anchor.commit_stamp import COMMIT_STAMP_ROW, CommitStampWriter, count_rows
from vault.seal.startup_checks import (
    SealPaths,
    StartupState,
    check_paths,
    require_private_database,
    run_startup_checks,
)
from vault.store.interface import BackendError
from vault.store.memory import MemoryBackend
from vault.store.row_index import RowIndexBuilder
from vault.store.store import open_store
from vault.store.tables import SYSTEM
from vault.store.transaction import StoreTx

ROOT_KEY = bytes(32)
DAY = 86_400


def store_keyring(keyring: Keyring) -> Callable[[StoreTx], None]:
    """A change that stores it."""
    row = SystemRow(name=KEYRING_ROW, value=keyring.encode(ROOT_KEY))
    return lambda tx: tx.put(SYSTEM, row)


class Vault:
    """A database with a mark, and places for the rest."""

    def __init__(self, folder: Path) -> None:
        self.places = SealPaths(folder / "vault.anchor", folder / "audit.log")
        self.backend, self.world = MemoryBackend(), FakeWorld(now=NOW)
        commit(self.backend, new_stamp_writer(node=""), store_keyring(KEYRING))  # as init does

    async def start_up(self, keyring: Keyring = KEYRING) -> StartupState:
        """As an opening finds it."""
        return await run_startup_checks(
            self.places, self.backend, keyring, lambda _: AUDIT_KEYS, self.world
        )

    async def open(self, keyring: Keyring = KEYRING) -> StartupState:
        """Open store and log on it and close them again."""
        found = await self.start_up(keyring)
        sink = FileSink(self.places.log, reserve_bytes=0, durability="write")
        guard = HmacRowGuard(keyring)
        async with (
            open_store(self.backend, guard, self.world, stamper=found.stamp_writer) as store,
            found.join(store, ROOT_KEY, "1.0"),
            open_audit(
                AuditConfig(), AUDIT_KEYS, log_id_of(VAULT, found.node.id), [sink], self.world,
                followers=[found.anchor_writer], commits=lambda: found.stamp_writer.commits,
            ) as audit,
        ):  # fmt: skip
            await found.record_acceptance(audit)
            await found.stamp_clock(store, audit)
        await found.anchor_writer.write_anchor()
        return found

    def events(self) -> list[str]:
        """The operations on record."""
        lines = self.places.log.read_bytes().splitlines()
        records = [decode_record(line) for line in lines]
        return [record.body["operation"] for record in records if record.kind == "event"]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """A new one."""
    return Vault(tmp_path)


async def test_a_new_vault_gets_its_anchor(vault: Vault) -> None:
    """At its first opening; the second finds it. Nothing is on record for it."""
    for is_first in (True, False):
        found = await vault.open()
        assert found.is_first == is_first
        assert found.resume_point.accepted_findings == ()
        assert found.keyring is KEYRING
        assert vault.places.anchor.exists()
    assert vault.events() == []


async def test_a_node_keeps_its_id(vault: Vault) -> None:
    """By its anchor, or else by its log; of a database of its own by the commit stamp, too."""
    first = (await vault.open()).node
    anchor = vault.places.anchor.read_bytes()
    vault.places.anchor.unlink()
    acceptance.write_acceptance(vault.places.anchor, Acceptance(NOW, "it was lost"))
    assert (await vault.start_up()).node.id == first.id
    for file in vault.places.log.parent.glob("audit.log*"):
        file.unlink()
    found = await vault.start_up()
    assert found.node.id == first.id
    assert [one.code for one in found.resume_point.accepted_findings] == [
        "audit_log_behind", "anchor_missing",
    ]  # fmt: skip
    assert not found.is_first
    assert not found.joins
    vault.places.anchor.write_bytes(anchor)
    assert (await vault.start_up()).node.id == first.id
    assert found.node.run != first.run


async def test_an_acceptance_is_written_down_everywhere(vault: Vault) -> None:
    """In the keyring's row, in the log, in the anchor; then it is used up."""
    node = (await vault.open()).node.id
    older = MemoryBackend()
    commit(older, new_stamp_writer(), store_keyring(KEYRING))
    log = Log(vault.places.log, lambda: 9, log_id_of(VAULT, node))
    log.grow()
    log.close()
    vault.backend = older
    with pytest.raises(TamperedError, match="storage_rolled_back"):
        await vault.start_up()
    acceptance.write_acceptance(vault.places.anchor, Acceptance(NOW, "a fire"))
    found = await vault.open()
    found.require_operator(allow_accepted=True)  # in development, where nobody had ordered a seal
    with pytest.raises(UnavailableError, match="rollback_accepted"):
        found.require_operator()
    assert found.keyring.epoch == 2
    assert vault.events()[-1] == "sys.accept_rollback"
    assert acceptance.read_acceptance(vault.places.anchor, NOW) is None
    with vault.backend.read() as session:
        row = session.get(SYSTEM, (KEYRING_ROW,))
    assert row is not None
    stored = Keyring.decode(ROOT_KEY, row.value, org="o", vault=VAULT)
    assert stored.epoch == 2
    assert (await vault.start_up(stored)).resume_point.accepted_findings == ()


async def test_an_acceptance_loses_no_key_of_another_agent(vault: Vault) -> None:
    """One that has rotated since this one was unsealed: the new key has sealed values."""
    await vault.open()
    vault.places.anchor.unlink()
    acceptance.write_acceptance(vault.places.anchor, Acceptance(NOW, "a fire"))
    found, guard = await vault.start_up(), HmacRowGuard(KEYRING)
    assert found.resume_point.accepted_findings
    found = replace(found, keyring=KEYRING.at_epoch(9))  # of which an anchor may know
    for other in (KEYRING.rotate(NOW), KEYRING.rotate(NOW).retire(1)):
        async with open_store(
            vault.backend, guard, vault.world, stamper=found.stamp_writer
        ) as store:
            await store.commit(store_keyring(other))
            with pytest.raises(ConflictError, match="keyring_changed"):
                async with found.join(store, ROOT_KEY, "1.0"):
                    pass
            row = await store.get(SYSTEM, KEYRING_ROW)
            assert row is not None
            assert Keyring.decode(ROOT_KEY, row.value, org="o", vault=VAULT).active == 2


def another_node(vault: Vault) -> CommitStampWriter:
    """What stamps the commits of one that shares the database."""
    keys = DerivedAnchorKeys(KEYRING)
    with vault.backend.read() as session:
        counted = count_rows(session, HmacRowGuard(KEYRING), keys, RowIndexBuilder(), least=0)
    return CommitStampWriter(keys, base=counted.base, written=counted.written, node="another")


async def test_an_acceptance_loses_no_commit_of_another_agent(vault: Vault) -> None:
    """One that came after the rows were counted is in no count: unsealed again, it is."""
    await vault.open()
    vault.places.anchor.unlink()
    acceptance.write_acceptance(vault.places.anchor, Acceptance(NOW, "a fire"))
    found, guard = await vault.start_up(), HmacRowGuard(KEYRING)
    other = another_node(vault)
    commit(vault.backend, other, store_keyring(KEYRING))
    async with open_store(vault.backend, guard, vault.world, stamper=found.stamp_writer) as store:
        with pytest.raises(UnavailableError, match="store_behind"):
            async with found.join(store, ROOT_KEY, "1.0"):
                pass
    with vault.backend.read() as session:
        row = session.get(SYSTEM, (COMMIT_STAMP_ROW,))
    assert row is not None
    assert row.value == other.written
    await vault.open()
    assert vault.events()[-1] == "sys.accept_rollback"


async def test_a_log_that_cannot_be_read_is_told(vault: Vault) -> None:
    """It is not taken for a new one."""
    vault.places.log.with_name("audit.log.head").mkdir()
    with pytest.raises(UnavailableError, match="audit_unavailable"):
        await vault.start_up()


async def order(vault: Vault, *, backend: MemoryBackend, anchor_is_lost: bool = False) -> None:
    """Order a seal on what is there, with this database in the place of the vault's."""
    found = await vault.start_up()
    async with open_store(
        backend, HmacRowGuard(KEYRING), vault.world, stamper=found.stamp_writer
    ) as store:
        if anchor_is_lost:
            vault.places.anchor.unlink(missing_ok=True)
            vault.places.anchor.mkdir()
        await found.persist_seal_order(store)


async def test_an_ordered_seal_is_found_by_the_next_opening(vault: Vault) -> None:
    """Which a person has to ask for; he ends it, and the one after that finds none."""
    await vault.open()
    (await vault.start_up()).require_operator()
    await order(vault, backend=vault.backend)
    for _ in range(2):
        found = await vault.start_up()
        with pytest.raises(UnavailableError, match="sealed_on_order"):
            found.require_operator()
    guard = HmacRowGuard(KEYRING)
    async with open_store(vault.backend, guard, vault.world, stamper=found.stamp_writer) as store:
        await found.clear_seal_order(store)
    (await vault.start_up()).require_operator()


class FullDisk(MemoryBackend):
    """Takes no change."""

    def write(self, apply: object) -> None:  # noqa: ARG002
        """Refuse it."""
        raise BackendError("store_full", "the disk is full")


@pytest.mark.parametrize("lost", ["database", "anchor"])
async def test_one_place_suffices_for_an_order(vault: Vault, lost: str) -> None:
    """The other one is noticed at most as an older one, which does not contradict it."""
    await vault.open()
    if lost == "database":
        await order(vault, backend=FullDisk())
    else:
        await order(vault, backend=vault.backend, anchor_is_lost=True)
        vault.places.anchor.rmdir()
        acceptance.write_acceptance(vault.places.anchor, Acceptance(NOW, "it was lost"))
    for accepts in (False, True):
        with pytest.raises(UnavailableError, match="sealed_on_order"):
            (await vault.start_up()).require_operator(allow_accepted=accepts)


async def test_an_order_that_nothing_stores_is_told(vault: Vault) -> None:
    """The vault is sealed, and who ordered it hears that a restart may end that."""
    await vault.open()
    found, guard = await vault.start_up(), HmacRowGuard(KEYRING)
    vault.places.anchor.unlink()
    vault.places.anchor.mkdir()
    async with open_store(FullDisk(), guard, vault.world, stamper=found.stamp_writer) as store:
        with pytest.raises(UnavailableError, match="seal_not_stored") as told:
            await found.persist_seal_order(store)
    assert told.value.details["outcome"] == "done"


async def test_time_goes_on_from_the_last_mark(vault: Vault) -> None:
    """A clock that was set back while the agent was down revives nothing."""
    await vault.open()
    vault.world.advance(DAY)
    await vault.open()
    vault.world = FakeWorld(now=NOW)
    await vault.start_up()
    assert vault.world.now() == NOW + DAY * SECOND


async def test_a_run_with_a_wrong_clock_leaves_no_trace_in_the_next(vault: Vault) -> None:
    """Nor does a wrong clock at the start, once it is right."""
    await vault.open()
    vault.world = FakeWorld(now=NOW + 400 * DAY * SECOND)
    wrong = await vault.open()
    assert wrong.retention.clock.is_suspended
    assert vault.world.now() == NOW + 400 * DAY * SECOND
    vault.world.step_wall(-400 * DAY)
    assert vault.world.now() == NOW
    vault.world = FakeWorld(now=NOW)
    await vault.open()
    assert vault.world.now() == NOW


@pytest.mark.parametrize("days", [1, 7])
async def test_a_stop_revives_nothing_when_the_clock_is_set_back(vault: Vault, days: int) -> None:
    """After a day at once, after a week from the next start on; deletions do not go by it."""
    await vault.open()
    vault.world = FakeWorld(now=NOW + days * DAY * SECOND)
    await vault.open()
    shown = vault.world.now()
    if days > 1:
        vault.world = FakeWorld(now=shown)
        await vault.open()
    vault.world.step_wall(-days * DAY)
    assert vault.world.now() == shown
    assert vault.world.clock.now() == NOW
    vault.world = FakeWorld(now=NOW)
    await vault.open()
    assert vault.world.now() == shown


async def test_a_reopening_does_not_go_back(vault: Vault) -> None:
    """The process knows better than the last mark."""
    await vault.open()
    vault.world.advance(3600)
    known = vault.world.now()
    vault.world.step_wall(-3600)
    await vault.start_up()
    assert vault.world.now() == known == NOW + 3600 * SECOND


async def test_an_operator_confirms_a_clock_that_is_behind(vault: Vault) -> None:
    """Who is on record, and once: it was ahead for long, and is right now."""
    vault.world.advance(400 * DAY)
    await vault.open()
    acceptance.write_acceptance(
        vault.places.anchor, Acceptance(NOW, "ntp was wrong"), AcceptanceSubject.CLOCK
    )
    vault.world = FakeWorld(now=NOW)
    found = await vault.open()
    assert vault.world.now() == NOW
    assert not found.retention.clock.is_suspended
    assert vault.events() == ["sys.confirm_clock"]
    assert acceptance.read_acceptance(vault.places.anchor, NOW, AcceptanceSubject.CLOCK) is None
    vault.world = FakeWorld(now=NOW)
    await vault.start_up()
    assert vault.world.now() == NOW


async def test_an_announced_deletion_is_found_by_the_next_opening(vault: Vault) -> None:
    """Else each restart would announce it anew, and a log would never become shorter."""
    await vault.open()
    found, announced = await vault.start_up(), RetentionNotice(3, 40, NOW + 7 * DAY * SECOND)
    found.retention.notice = announced
    sink = FileSink(vault.places.log, reserve_bytes=0, durability="write")
    async with (
        open_store(
            vault.backend, HmacRowGuard(KEYRING), vault.world, stamper=found.stamp_writer
        ) as store,
        open_audit(
            AuditConfig(), AUDIT_KEYS, log_id_of(VAULT, found.node.id), [sink], vault.world
        ) as audit,
    ):
        await found.stamp_clock(store, audit)
    assert (await vault.start_up()).retention.notice == announced


async def test_an_agent_that_runs_takes_a_confirmation(vault: Vault) -> None:
    """With the next look at the clock."""
    await vault.open()
    vault.world = FakeWorld(now=NOW + 40 * DAY * SECOND)
    found = await vault.start_up()
    sink = FileSink(vault.places.log, reserve_bytes=0, durability="write")
    async with (
        open_store(
            vault.backend, HmacRowGuard(KEYRING), vault.world, stamper=found.stamp_writer
        ) as store,
        open_audit(
            AuditConfig(), AUDIT_KEYS, log_id_of(VAULT, found.node.id), [sink], vault.world
        ) as audit,
    ):
        assert not await found.stamp_clock(store, audit)
        assert found.retention.clock.is_suspended
        accepted = Acceptance(vault.world.wall(), "it was off for a month")
        acceptance.write_acceptance(vault.places.anchor, accepted, AcceptanceSubject.CLOCK)
        assert await found.stamp_clock(store, audit)
        assert not found.retention.clock.is_suspended
    assert vault.events() == ["sys.confirm_clock"]


def test_a_place_that_is_full_is_found_before_a_vault_is_made(tmp_path: Path) -> None:
    """An empty file fits there, and no anchor; nothing of the attempt is left."""
    places = SealPaths(tmp_path / "anchor/vault.anchor", tmp_path / "log/audit.log")
    check_paths(places)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))  # as a disk with so much room
    try:
        with pytest.raises(SetupError, match="space is free"):
            check_paths(places)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_database_that_is_the_agents_alone_is_taken(tmp_path: Path) -> None:
    """None yet, too; the log of one that was not closed has to be as private."""
    file = tmp_path / "vault.db"
    require_private_database(file)
    for name in ("vault.db", "vault.db-wal"):
        (tmp_path / name).touch(mode=0o600)
    require_private_database(file)


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize(
    ("mode", "is_link", "owner", "told"),
    [
        (0o666, False, 0, "mode 0666; see who has changed it, then run chmod 600"),
        (0o640, False, 0, "mode 0640"),
        (0o600, True, 0, "is not a plain file; set `storage.connection_string`"),
        (0o600, False, 1, "; see who has changed it, then run chown"),
    ],
)
def test_a_database_of_others_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: int,
    owner: int,
    told: str,
    suffix: str,
    *,
    is_link: bool,
) -> None:
    """With what to do."""
    file = tmp_path / f"it's.db{suffix}"
    target = tmp_path / "elsewhere"
    (target if is_link else file).touch()
    (target if is_link else file).chmod(mode)
    if is_link:
        file.symlink_to(target)
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + owner)
    with pytest.raises(UnavailableError, match="database_not_private") as refused:
        require_private_database(tmp_path / "it's.db")
    assert told in refused.value.message
