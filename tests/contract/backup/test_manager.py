"""The agent's backups: schedule, retries, retention, trust and cancellation."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, cast

import pytest
import trio
import trio.testing
from msgspec.msgpack import encode
from msgspec.structs import replace

from protocols.instant import DAY, HOUR, MINUTE, SECOND, rfc3339
from tests.contract.backup.managed import BY, START, Managed, Place, ThreadWorld
from tests.contract.backup.samples import fill
from tests.contract.store.samples import put
from tests.support.databases import make_backend
from tests.support.vaults import ROOT_KEY, Vault
from vault.backup.certificate import Phases, RestoreCertificate, write_certificate
from vault.backup.destinations.directory import LocalDirectory
from vault.backup.format import DATA, MANIFEST, sign_manifest
from vault.backup.keys import VaultKeys
from vault.backup.manager import MAX_WRITE_SECONDS
from vault.backup.runs import MAX_DAILY, MAX_HOURLY
from vault.barrier import KEYRING_ROW
from vault.crypto.backup_keys import Identity
from vault.errors import ConflictError, NotFoundError, RateLimitError
from vault.model.backup import BackupState
from vault.model.backup_runs import CreateBackup, ListBackups, RunOutcome, RunRequester, RunState
from vault.model.records import SystemRow
from vault.store.tables import SYSTEM

SECONDS_A_DAY = 86_400.0
SOMEBODY = RunRequester(request_id="request", id="ann", name="ann", method="token")


def certify(place: Place, backup: str, keys: VaultKeys) -> str:
    """A certificate of the vault for this backup; returns its name."""
    made = RestoreCertificate(
        org=keys.keyring.org,
        vault=keys.keyring.vault,
        backup=backup,
        digest="0" * 64,
        chain=(),
        destination="one",
        created=rfc3339(START),
        commits=1,
        schema=1,
        began=rfc3339(START),
        finished=rfc3339(START),
        depth="chunks",
        phases=Phases(fetch=1),
        rto_ms=None,
        rpo_ms=1,
        program="freehold",
    )
    return write_certificate(place, made, keys.backup).name


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    """A small one in a file."""
    made = Vault(f"sqlite:///{tmp_path}/vault.db")
    with made.opened():
        fill(made, 3)
        yield made


@pytest.fixture
def managed(vault: Vault) -> Managed:
    """With two destinations."""
    return Managed(vault, {"one": Place(), "two": Place()})


async def test_the_first_backup_is_made_at_once_and_the_next_by_the_schedule(
    managed: Managed,
) -> None:
    """Full, then incremental; nothing between two times."""
    async with managed.serving():
        first = await managed.tick()
        assert first is not None
        assert [each.kind for each in first.results] == ["full", "full"]
        managed.change()
        assert await managed.tick() is None
        managed.world.advance(SECONDS_A_DAY)
        second = await managed.tick()
        assert second is not None
        assert [each.kind for each in second.results] == ["incremental", "incremental"]
        assert managed.manager.report().state is BackupState.GOOD
    assert [event.result for event in managed.events] == ["ok"] * 4


async def test_missed_times_are_made_up_once(managed: Managed) -> None:
    """Whether the agent was down or sealed for a day or for ten."""
    async with managed.serving():
        await managed.tick()
    managed.world.advance(10 * SECONDS_A_DAY)
    async with managed.serving():
        assert await managed.tick() is not None
        for _ in range(10):
            managed.world.advance(60.0)
            assert await managed.tick() is None


async def test_a_full_one_after_the_interval(managed: Managed) -> None:
    """Seven days after the last full one, whatever was made by hand between."""
    kinds = []
    async with managed.serving():
        for _ in range(15):
            run = await managed.tick()
            assert run is not None
            kinds.append(run.results[0].kind)
            managed.change()
            managed.world.advance(SECONDS_A_DAY)
    assert [day for day, kind in enumerate(kinds) if kind == "full"] == [0, 7, 14]


async def test_a_failure_is_tried_again_with_growing_pauses(managed: Managed) -> None:
    """One destination alone; its failures outlive a start, and end with a success."""
    managed.places["one"].fails = True
    async with managed.serving():
        run = await managed.tick()
        assert run is not None
        assert run.outcome is RunOutcome.FAILED
        assert [bool(each.error_code) for each in run.results] == [True, False]
    async with managed.serving():
        attempts = []
        for minute in range(1, 200):
            managed.world.advance(60.0)
            if run := await managed.tick():
                assert [each.destination for each in run.results] == ["one"]
                attempts.append(minute)
        assert attempts[:6] == [1, 3, 7, 15, 31, 63]
        assert all(later - sooner == 60 for sooner, later in pairwise(attempts[5:]))
        assert managed.manager.report().state is BackupState.FAILED
        assert (await managed.manager.read_schedule()).destinations[0].failures == 9
        managed.places["one"].fails = False
        managed.world.advance(3600.0)
        assert await managed.tick() is not None
        assert managed.manager.report().state is BackupState.GOOD
        assert (await managed.manager.read_schedule()).destinations[0].failures == 0


async def test_a_scheduled_time_ends_the_pause(managed: Managed) -> None:
    """The next attempt is then, if the pause would last longer."""
    managed.places["one"].fails = True
    async with managed.serving():
        for _ in range(8):
            await managed.tick()
            managed.world.advance(3600.0)
        due = (await managed.manager.read_schedule()).destinations[0].next
        assert due <= managed.world.now() + HOUR


async def test_backups_from_the_future_do_not_stop_the_schedule(managed: Managed) -> None:
    """The clock was ahead when they were made, and was set back."""
    async with managed.serving():
        await managed.tick()
        managed.world.advance(1.0)
        ahead = await managed.back_up()
        assert ahead.outcome is RunOutcome.SUCCEEDED
    for place in managed.places.values():
        assert len(place.objects) == 4
    behind = Managed(managed.vault, managed.places)
    behind.world = type(managed.world)(START - DAY)
    async with behind.serving():
        run = await behind.tick()
        assert run is not None
        assert {each.kind for each in run.results} == {"full"}
        assert await behind.tick() is None


async def test_backups_on_request_are_bounded_and_the_schedule_goes_on(vault: Vault) -> None:
    """Within an hour and within a day; what fails leaves nothing, and does not count."""
    place = Place()
    managed = Managed(vault, {"one": place}, keep_count=1, keep_age=MINUTE)

    async def ask(by: RunRequester = SOMEBODY) -> RunState:
        return await managed.wait(await managed.manager.start(CreateBackup(full=True), by))

    async with managed.serving():
        place.fails = True
        for _ in range(MAX_HOURLY):
            assert (await ask()).outcome is RunOutcome.FAILED
        place.fails = False
        for _ in range(MAX_HOURLY):
            assert (await ask()).outcome is RunOutcome.SUCCEEDED
            managed.world.advance(60.0)
        with pytest.raises(RateLimitError) as refused:
            await ask()
        assert refused.value.code == "backup_too_often"
        assert refused.value.details["retry_after"] == 3600 - 60 * MAX_HOURLY
        assert (await ask(BY)).outcome is RunOutcome.SUCCEEDED
        managed.world.advance(3600.0)
        for _ in range(MAX_DAILY - MAX_HOURLY):
            managed.world.advance(600.0)
            assert (await ask()).outcome is RunOutcome.SUCCEEDED
        managed.world.advance(3600.0)
        with pytest.raises(RateLimitError) as refused:
            await ask()
        managed.world.advance(refused.value.details["retry_after"] - 1.0)
        with pytest.raises(RateLimitError):
            await ask()
        managed.world.advance(1.0)
        assert (await ask()).outcome is RunOutcome.SUCCEEDED


async def test_a_backup_that_takes_too_long_is_given_up(managed: Managed) -> None:
    """It keeps a view of the database open: nothing is left of it, and other destinations go on."""
    begun, may = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        assert may.wait(60)

    slow = managed.places["one"]
    slow.on_write = hold
    async with managed.serving() as manager:
        run = await manager.start(CreateBackup(), BY)
        await trio.to_thread.run_sync(begun.wait, 60)
        managed.world.advance(MAX_WRITE_SECONDS - 60.0)
        await trio.testing.wait_all_tasks_blocked()
        managed.world.advance(120.0)
        await trio.testing.wait_all_tasks_blocked()
        may.set()
        ended = await managed.wait(run)
        slow.on_write = lambda: None
        assert [each.error_code for each in ended.results] == ["backup_too_slow", ""]
        assert (ended.outcome, ended.error_code) == (RunOutcome.FAILED, "backup_too_slow")
        assert not slow.objects
        assert (await managed.back_up()).outcome is RunOutcome.SUCCEEDED


async def test_late(managed: Managed) -> None:
    """More than an hour after a time that was missed."""
    async with managed.serving() as manager:
        await managed.tick()
        due = (await manager.read_schedule()).next
        managed.world.advance((due + HOUR - managed.world.now()) / SECOND)
        assert manager.report().state is BackupState.GOOD
        managed.world.advance(1.0)
        assert manager.report().state is BackupState.LATE


async def test_retention_keeps_whole_chains(vault: Vault) -> None:
    """Of 30 daily ones the newest 3 stay, with the full one below them."""
    managed = Managed(vault, {"one": Place()}, keep_count=3, keep_age=DAY)
    async with managed.serving():
        for _ in range(30):
            await managed.tick()
            managed.change()
            managed.world.advance(SECONDS_A_DAY)
    catalog = managed.catalog("one")
    assert not catalog.incomplete
    newest = catalog.verified[-1]
    assert newest.manifest is not None
    assert len(catalog.verified) == max(
        newest.manifest.depth + 1, 3 + catalog.verified[-3].manifest.depth
    )  # type: ignore[union-attr]
    assert not catalog.orphans


async def test_backups_of_commits_that_a_restore_gave_up_do_not_count_as_newest(
    tmp_path: Path,
) -> None:
    """The vault was restored to an older state: they have more commits than what follows.

    The schedule goes on, what follows is kept as well as they are, and builds on itself.
    """
    url = f"sqlite:///{tmp_path}/vault.db"
    vault, place = Vault(url), Place()
    with vault.opened():
        fill(vault, 3)
    shutil.copy(tmp_path / "vault.db", tmp_path / "restored.db")
    with vault.opened():
        before = Managed(vault, {"one": place})
        async with before.serving():
            for _ in range(4):
                before.change()
                assert await before.tick() is not None
                before.world.advance(SECONDS_A_DAY)
    vault.backend = make_backend(f"sqlite:///{tmp_path}/restored.db")
    with vault.opened():
        after = Managed(vault, {"one": place}, keep_count=2, keep_age=HOUR)
        after.world = ThreadWorld(before.world.now())
        made = []
        async with after.serving():
            for _ in range(4):
                run = await after.tick()
                assert run is not None
                made.append(run.results[0])
                after.world.advance(60.0)
                assert await after.tick() is None
                after.world.advance(SECONDS_A_DAY)
            assert after.manager.report().newest > before.world.now()
    assert [each.kind for each in made] == ["full", *["incremental"] * 3]
    assert {each.backup for each in made} <= set(after.catalog("one").entries)


async def test_locked_objects_stay_and_are_tried_again(vault: Vault) -> None:
    """With all that they build on; once the lock is over they go."""
    place = Place()
    managed = Managed(vault, {"one": place}, keep_count=1, keep_age=MINUTE, full_interval=SECOND)
    async with managed.serving():
        first = await managed.back_up()
        place.locked.add(first.results[0].backup + MANIFEST)
        for _ in range(3):
            managed.world.advance(3600.0)
            await managed.back_up(full=True)
        assert first.results[0].backup in managed.catalog("one").entries
        assert len(managed.catalog("one").entries) == 2
        place.locked.clear()
        managed.world.advance(3600.0)
        await managed.back_up(full=True)
    assert len(managed.catalog("one").entries) == 1


async def test_abandoned_data_goes_after_a_day_and_foreign_data_never(vault: Vault) -> None:
    """Data of this vault whose manifest is gone; what is not a backup of this vault stays."""
    place = Place()
    managed = Managed(vault, {"one": place}, full_interval=SECOND)
    async with managed.serving():
        first = (await managed.back_up()).results[0].backup
        del place.objects[first + MANIFEST]
        place.objects["other.backup"] = b"something else"
        place.objects["note.txt"] = b"a note"
        foreign = place.objects[first + DATA].replace(b'"vault-1"', b'"vault-2"')
        place.objects["foreign.backup"] = foreign
        managed.world.advance(3600.0)
        await managed.back_up()
        assert first + DATA in place.objects
        managed.world.advance(SECONDS_A_DAY)
        await managed.back_up()
    assert first + DATA not in place.objects
    assert {"other.backup", "note.txt", "foreign.backup"} <= set(place.objects)


async def test_only_signed_manifests_decide(managed: Managed) -> None:
    """A forged one is no base, keeps nothing, is listed with why, and is not removed."""
    place = managed.places["one"]
    async with managed.serving() as manager:
        made = (await managed.back_up("one")).results[0].backup
        forged = place.objects[made + MANIFEST].replace(made.encode(), b"forged")
        place.objects["forged" + MANIFEST] = forged
        place.objects["forged" + DATA] = place.objects[made + DATA]
        place.objects["broken" + MANIFEST] = b"nothing of ours"
        managed.change()
        run = await managed.back_up("one")
        assert run.results[0].kind == "incremental"
        listed = {one.id: one for one in (await manager.list_backups(ListBackups())).backups}
        assert listed["forged"].fault
        assert listed["broken"].fault
        assert not listed[made].fault
        with pytest.raises(ConflictError) as refused:
            await manager.delete_backup("forged", "")
        assert refused.value.code == "backup_unverified"
    assert "forged" + MANIFEST in place.objects


async def test_what_others_write_takes_no_memory(managed: Managed) -> None:
    """Whoever can write to a destination: a manifest may have 4 MiB, and there may be 20,000."""
    place = managed.places["one"]
    async with managed.serving():
        made = (await managed.back_up("one")).results[0].backup
        whole = managed.catalog("one").entries[made].manifest
        assert whole is not None
        long, foreign = "x" * 500_000, VaultKeys(Vault("sqlite:///none.db").keyring).backup
        for number, forged in enumerate(
            (
                replace(whole, vault=long),
                replace(whole, org=long),
                replace(whole, checkpoints=(long,)),
                replace(whole, base=replace(whole.reference, id=long), depth=1),
            )
        ):
            for name in ("forged", "renamed"):
                note = sign_manifest(replace(forged, id=f"forged-{number}"), foreign)
                place.objects[f"{name}-{number}{MANIFEST}"] = note
        kept = managed.catalog("one").entries
        assert len(kept) == 9
        assert all(each.fault for each in kept.values() if each.id != made)
        assert all(len(encode(each)) < 4096 for each in kept.values())


async def test_names_that_are_no_text_do_not_spoil_a_list(vault: Vault, tmp_path: Path) -> None:
    """A file's name may be any bytes; pages and terminals get text."""
    folder = tmp_path / "backups"
    managed = Managed(vault, {"one": cast("Place", LocalDirectory(folder))})
    async with managed.serving() as manager:
        made = (await managed.back_up()).results[0].backup
        for name in (b"\xff\xfe", b"\x1b[2J", b"\n", b"other"):
            os.mknod(os.path.join(os.fsencode(folder), name + b".manifest"))  # noqa: PTH118  # bytes
        page = await manager.list_backups(ListBackups())
        assert {one.id for one in page.backups} == {made, "other"}
        assert encode(page)


async def test_a_chain_that_lacks_something_is_no_base(managed: Managed) -> None:
    """Neither data nor base may be missing; the next backup is a full one then."""
    place = managed.places["one"]
    async with managed.serving() as manager:
        first = (await managed.back_up("one")).results[0].backup
        managed.change()
        managed.world.advance(1.0)
        second = (await managed.back_up("one")).results[0].backup
        del place.objects[first + DATA]
        assert (await managed.back_up("one")).results[0].kind == "full"
        page = await manager.list_backups(ListBackups(destination="one"))
        assert {one.id for one in page.backups if one.fault} == {first, second}


async def test_what_an_incomplete_backup_builds_on_stays(vault: Vault) -> None:
    """Its data may be put back."""
    place = Place()
    managed = Managed(vault, {"one": place}, keep_count=1, keep_age=MINUTE)
    async with managed.serving():
        base = (await managed.back_up()).results[0].backup
        managed.change()
        managed.world.advance(3600.0)
        upon = (await managed.back_up()).results[0].backup
        data = place.objects.pop(upon + DATA)
        for _ in range(2):
            managed.world.advance(3600.0)
            await managed.back_up(full=True)
    place.objects[upon + DATA] = data
    assert {base, upon} <= {entry.id for entry in managed.catalog("one").verified}


async def test_an_incomplete_backup_is_removed_in_the_end(vault: Vault) -> None:
    """With what it builds on, once it is older than retention and a newer one is complete."""
    place = Place()
    managed = Managed(vault, {"one": place}, keep_count=1, keep_age=MINUTE)
    async with managed.serving():
        base = (await managed.back_up()).results[0].backup
        managed.change()
        managed.world.advance(60.0)
        upon = (await managed.back_up()).results[0].backup
        del place.objects[upon + DATA]
        managed.world.advance(3600.0)
        assert (await managed.back_up(full=True)).results[0].removed == 0
        managed.world.advance(8 * 24 * 3600.0)
        made = (await managed.back_up(full=True)).results[0]
    assert made.removed == 3
    assert set(place.objects) == {made.backup + MANIFEST, made.backup + DATA}
    assert base != upon


@pytest.mark.parametrize("by_retention", [True, False])
async def test_a_removed_backup_takes_its_certificates_along(
    vault: Vault, *, by_retention: bool
) -> None:
    """And those alone: not another vault's, and not those of backups that stay."""
    place = Place()
    managed = Managed(vault, {"one": place}, keep_count=1, keep_age=MINUTE)
    async with managed.serving() as manager:
        gone = (await managed.back_up()).results[0].backup
        own = certify(place, gone, managed.keys)
        foreign = f"{gone}.7.certificate"
        place.objects[foreign] = b"of another vault"
        managed.world.advance(3600.0)
        if by_retention:
            kept = (await managed.back_up(full=True)).results[0].backup
        else:
            await manager.delete_backup(gone, "one")
            kept = (await managed.back_up(full=True)).results[0].backup
        stays = certify(place, kept, managed.keys)
        managed.world.advance(1.0)
        await managed.back_up()
    assert own not in place.objects
    assert gone + MANIFEST not in place.objects
    assert {foreign, stays} <= set(place.objects)


async def test_another_run_is_refused_meanwhile(managed: Managed) -> None:
    """And so is a removal."""
    holding, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        holding.set()
        assert go_on.wait(60)

    async with managed.serving() as manager:
        made = (await managed.back_up("two")).results[0].backup
        managed.places["one"].on_write = hold
        begun = await manager.start(CreateBackup(destinations=("one",)), BY)
        await trio.to_thread.run_sync(holding.wait)
        with pytest.raises(ConflictError) as refused:
            await manager.start(CreateBackup(), BY)
        assert refused.value.code == "backup_running"
        with pytest.raises(ConflictError):
            await manager.delete_backup(made, "two")
        assert await manager.find_due() == []
        go_on.set()
        assert (await managed.wait(begun)).outcome is RunOutcome.SUCCEEDED
        await manager.delete_backup(made, "two")
        with pytest.raises(NotFoundError):
            await manager.read_backup(made, "")


async def test_whoever_lists_does_not_hold_up_backups(managed: Managed) -> None:
    """A destination is slow, and many ask what it holds: what is due is made all the same."""
    go_on = threading.Event()
    busy = threading.Semaphore(0)
    slow = managed.places["two"]
    names = slow.names

    def hold() -> list[str]:
        busy.release()
        assert go_on.wait(60)
        return names()

    async with managed.serving() as manager, trio.open_nursery() as nursery:
        slow.names = hold  # type: ignore[method-assign]  # a fake of this test's
        for _ in range(50):
            nursery.start_soon(manager.list_backups, ListBackups(destination="two"))
        for _ in range(2):
            await trio.to_thread.run_sync(busy.acquire)
        slow.names = names  # type: ignore[method-assign]  # as above
        with trio.fail_after(30):
            run = await managed.tick()
        go_on.set()
        assert run is not None
        assert run.outcome is RunOutcome.SUCCEEDED


@pytest.mark.parametrize("how", ["cancel", "seal"])
async def test_a_cancelled_run_leaves_nothing(managed: Managed, how: str) -> None:
    """By request or since the vault closes: no object, a record of it, and the next one works."""
    holding = threading.Event()
    place = managed.places["one"]

    def hold_until_cancelled() -> None:
        holding.set()
        pause = threading.Event()
        with suppress(trio.Cancelled):  # the backup is to find it by itself
            while True:
                trio.from_thread.check_cancelled()
                pause.wait(0.01)

    place.on_write = hold_until_cancelled
    for _ in range(40):
        managed.change()
    async with managed.serving() as manager:
        begun = await manager.start(CreateBackup(destinations=("one",)), BY)
        await trio.to_thread.run_sync(holding.wait)
        if how == "cancel":
            manager.cancel_run(begun.id)
            ended = await managed.wait(begun)
            assert ended.outcome is RunOutcome.CANCELLED
    assert manager.read_run(begun.id).outcome is RunOutcome.CANCELLED
    assert place.objects == {}
    assert managed.events[-1].code == "backup_cancelled"
    place.on_write = lambda: None
    async with managed.serving():
        assert (await managed.back_up("one")).outcome is RunOutcome.SUCCEEDED


async def test_a_backup_whose_retention_is_cancelled_is_there(vault: Vault) -> None:
    """It is on record as made, and the destination has not failed."""
    place = Place()
    managed = Managed(vault, {"one": place}, keep_count=1, keep_age=MINUTE)
    holding, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        holding.set()
        assert go_on.wait(60)

    async with managed.serving() as manager:
        await managed.back_up()
        managed.world.advance(3600.0)
        place.on_remove = hold
        begun = await manager.start(CreateBackup(full=True), BY)
        await trio.to_thread.run_sync(holding.wait)
        manager.cancel_run(begun.id)
        go_on.set()
        ended = await managed.wait(begun)
        assert ended.outcome is RunOutcome.CANCELLED
        assert not (await manager.read_backup(ended.results[0].backup, "")).fault
        assert (await manager.read_schedule()).destinations[0].failures == 0
    assert managed.events[-1].result == "ok"


async def test_a_backup_for_recipients_is_validated_from_outside(vault: Vault) -> None:
    """Its rows are not, and the result says so."""
    recipient = Identity.create()[0].recipient
    managed = Managed(vault, {"one": Place()}, recipients=(recipient,))
    async with managed.serving() as manager:
        made = (await managed.back_up()).results[0].backup
        run = await managed.wait(await manager.start_validation(made, "", BY))
    assert run.outcome is RunOutcome.SUCCEEDED
    assert run.results[0].rows_verified is False


async def test_pages_have_each_backup_once(managed: Managed) -> None:
    """However many there are on a page."""
    async with managed.serving() as manager:
        for _ in range(4):
            await managed.back_up()
            managed.world.advance(1.0)
        found, cursor = list[str](), ""
        while True:
            page = await manager.list_backups(ListBackups(limit=3, cursor=cursor))
            found += [one.id for one in page.backups]
            cursor = page.cursor
            if not cursor:
                break
    assert len(found) == len(set(found)) == 8


async def test_a_full_backup_is_unproven_when_its_restore_test_is_missing(
    managed: Managed,
) -> None:
    """Not before the test was due, and an hour more; at once after one that failed."""
    managed.proven = 0
    async with managed.serving() as manager:
        await managed.tick()
        assert manager.report().state is BackupState.GOOD
        managed.is_test_failed = True
        assert manager.report().state is BackupState.UNPROVEN
        managed.is_test_failed = False
        managed.world.advance(SECONDS_A_DAY + 5 * 3600)
        await managed.tick()
        assert manager.report().state is BackupState.UNPROVEN
        managed.proven = managed.world.now()
        assert manager.report().state is BackupState.GOOD


async def test_objects_of_somebody_else_do_not_prevent_backups(
    managed: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With too many to look at a full one is made once, and the destination is shown as failed."""
    monkeypatch.setattr("vault.backup.destinations.interface.MAX_OBJECTS", 50)
    place = managed.places["one"]
    async with managed.serving() as manager:
        await managed.tick()
        place.objects |= {f"garbage-{number}": b"" for number in range(100)}
        for kind in ("full", "full"):
            managed.world.advance(SECONDS_A_DAY)
            run = await managed.tick()
            assert run is not None
            assert run.outcome is RunOutcome.SUCCEEDED
            assert [each.kind for each in run.results] == [kind, "incremental"]
            assert manager.report().state is BackupState.FAILED
            for _ in range(3):
                managed.world.advance(3600.0)
                assert await managed.tick() is None
        (one, _) = (await manager.read_schedule()).destinations
        assert one.error_code == "backups_too_many"
        for name in [each for each in place.objects if each.startswith("garbage")]:
            del place.objects[name]
        managed.world.advance(SECONDS_A_DAY)
        run = await managed.tick()
        assert run is not None
        assert manager.report().state is BackupState.GOOD


async def test_what_is_no_manifest_is_read_once_between_backups(managed: Managed) -> None:
    """Each look at a destination costs nothing more for what somebody else has put there."""
    place, opened = managed.places["one"], list[str]()
    read = place.open

    def counted(name: str) -> AbstractContextManager[BinaryIO]:
        opened.append(name)
        return read(name)

    async with managed.serving() as manager:
        await managed.tick()
        place.objects |= {f"garbage-{number}{MANIFEST}": b"x" for number in range(20)}
        place.open = counted  # type: ignore[method-assign]
        for _ in range(3):
            await manager.refresh()
        assert sum(name.startswith("garbage") for name in opened) == 20


async def test_backups_that_somebody_removes_are_missed(managed: Managed) -> None:
    """One alert; the destination is shown as failed for a day, and a full backup is made."""
    place = managed.places["one"]
    async with managed.serving() as manager:
        await managed.tick()
        managed.change()
        managed.world.advance(SECONDS_A_DAY)
        await managed.tick()
        managed.events.clear()
        place.objects.clear()
        await manager.refresh()
        (event,) = managed.events
        assert (event.operation, event.code, event.alert) == (
            "backup.missing", "backups_missing", True,
        )  # fmt: skip
        assert "2 verified backups" in event.rule
        assert manager.count_failing() == 1
        run = await managed.tick()
        assert run is not None
        assert [(each.destination, each.kind) for each in run.results] == [("one", "full")]
        assert manager.report().state is BackupState.FAILED
        (one, two) = (await manager.read_schedule()).destinations
        assert (one.error_code, two.error_code) == ("backups_missing", "")
        managed.world.advance(SECONDS_A_DAY)
        await managed.tick()
        assert manager.report().state is BackupState.GOOD
        assert [each.operation for each in managed.events].count("backup.missing") == 1


async def test_a_backup_that_is_written_over_is_missed(managed: Managed) -> None:
    """At the next backup, which reads all manifests again and builds on none of them."""
    place = managed.places["one"]
    async with managed.serving():
        await managed.tick()
        for name in place.objects:
            place.objects[name] = b"encrypted by somebody else"
        managed.world.advance(SECONDS_A_DAY)
        run = await managed.tick()
        assert run is not None
        assert [each.kind for each in run.results] == ["full", "incremental"]
        assert "backup.missing" in [event.operation for event in managed.events]


async def test_what_the_agent_removes_itself_is_not_missed(vault: Vault) -> None:
    """By retention, on request, and by the retention of another agent."""
    managed = Managed(vault, {"one": Place()}, keep_count=1, keep_age=DAY)
    async with managed.serving() as manager:
        for _ in range(3):
            await managed.back_up(full=True)
            managed.world.advance(2 * SECONDS_A_DAY)
        await managed.back_up(full=True)
        made = await managed.back_up(full=True)
        await manager.delete_backup(made.results[0].backup, "one")
        await manager.refresh()
    assert "backup.missing" not in [event.operation for event in managed.events]


async def test_a_full_backup_is_due_after_a_rekey(managed: Managed) -> None:
    """Since who has the new root key alone could restore nothing; only then, and once."""
    async with managed.serving() as manager:
        await managed.tick()
        await manager.refresh()
        assert await managed.tick() is None
        rekey(managed)
        run = await managed.tick()
        assert run is not None
        assert [each.kind for each in run.results] == ["full", "full"]
        await manager.refresh()
        assert await managed.tick() is None


def rekey(managed: Managed) -> None:
    """Put another root key in force."""
    managed.root_key = bytes(reversed(ROOT_KEY))
    keyring = managed.vault.keyring.encode(managed.root_key)
    managed.vault.commit(put(SYSTEM, SystemRow(name=KEYRING_ROW, value=keyring)))
