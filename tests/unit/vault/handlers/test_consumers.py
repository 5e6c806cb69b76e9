"""Who fetched what is recorded, and rotations trust it only where nothing can be missing."""

from typing import Any, Final

import pytest
import trio
from msgspec.structs import replace

from protocols.instant import DAY, HOUR, SECOND
from tests.unit.vault.handlers.conftest import NOW, ROOT, House
from vault.authz.authorizer import Authorizer
from vault.errors import UnavailableError
from vault.handlers import consumer_recorder, stores
from vault.handlers.adoption import MARGIN, StoredAdoption, adoption_status
from vault.handlers.consumer_recorder import KEPT, REFRESH, ConsumerRecorder, forget_old_consumers
from vault.handlers.consumers import ConsumerHandlers, Dependents, find_rotated
from vault.handlers.stores import ConsumerStore, RotationStore, SecretStore
from vault.model.identity import Identity, Method, service_identity
from vault.model.payloads import ListReaders, Nothing, ReadSecret
from vault.model.records import ConsumerRow, RecorderRow, RotationRow
from vault.model.results import ReaderPage, SecretConsumers
from vault.model.rotation import AdoptionState, AdoptionStatus

PATH: Final = "secret/app"
ANN: Final = Identity(
    id="u1", name="ann", method=Method.API_KEY, policies=("root",), credential="k1"
)
JOB: Final = Identity(
    id="acc", name="job", method=Method.TOKEN, policies=("root",), credential="acc"
)
WINDOW: Final = 30 * DAY
ROTATION: Final = RotationRow(
    secret_id="s", number=1, path=PATH, policy={}, cause="request", previous=1, version=2,
    next_at=NOW, began_at=NOW, current_at=NOW,
)  # fmt: skip


def consumer(name: str, version: int, **more: Any) -> ConsumerRow:
    """Who fetched this version an hour before the rotation began."""
    fields: dict[str, Any] = {"fetched_at": NOW - HOUR} | more
    return ConsumerRow(
        secret_id="s", consumer=f"key:{name}", identity=name, name=name, path=PATH,
        version=version, **fields,
    )  # fmt: skip


def recorder(**more: Any) -> RecorderRow:
    """A process that has flushed all that there was before the new value."""
    fields: dict[str, Any] = {"flushed_at": NOW + MARGIN, "is_open": True} | more
    return RecorderRow(id="node/0", **fields)


def status(
    *consumers: ConsumerRow, recorders: tuple[RecorderRow, ...] = (), window: int = WINDOW
) -> AdoptionStatus:
    """Of the rotation."""
    return adoption_status(ROTATION, window, recorders or (recorder(),), consumers)


def test_all_who_have_fetched_lately_must_have_the_new_version() -> None:
    """One who lags is named; one who has not fetched within the window is not waited for."""
    ann, job = consumer("ann", 2), consumer("job", 1)
    assert status(ann, job) == AdoptionStatus(
        state=AdoptionState.WAITING, laggards=["job"], fetched=1
    )
    assert status(ann, replace(job, version=2)).state is AdoptionState.ADOPTED
    old = replace(job, fetched_at=NOW - WINDOW - REFRESH)
    assert status(ann, old).state is AdoptionState.ADOPTED
    late = replace(job, fetched_at=NOW - WINDOW - REFRESH + 1)  # it may be an hour too old
    assert status(ann, late).laggards == ["job"]
    compromised = replace(job, compromised_at=NOW)
    assert status(ann, compromised).state is AdoptionState.ADOPTED


@pytest.mark.parametrize(
    ("reason", "consumers", "recorders", "window"),
    [
        ("off", (consumer("ann", 2),), (), 0),
        ("no_consumers", (), (), WINDOW),
        ("no_consumers", (consumer("ann", 2, fetched_at=NOW - 60 * DAY),), (), WINDOW),
        ("fetches_lost", (consumer("ann", 2),), (recorder(lost_at=NOW - DAY),), WINDOW),
        ("fetches_lost", (consumer("ann", 2),), (recorder(lost_at=NOW, is_open=False),), WINDOW),
        ("too_many_consumers", (consumer("ann", 2), replace(consumer("", 0), consumer="")), (),
         WINDOW),
    ],
)  # fmt: skip
def test_what_is_not_known_waits_for_the_grace_period(
    reason: str,
    consumers: tuple[ConsumerRow, ...],
    recorders: tuple[RecorderRow, ...],
    window: int,
) -> None:
    """Fetches that are lost, too many to know, none at all: nobody can say that all have it."""
    found = status(*consumers, recorders=recorders, window=window)
    assert (found.state, found.reason) == (AdoptionState.UNKNOWN, reason)


def test_a_loss_before_the_window_does_not_matter() -> None:
    """Whoever fetched then counts no more."""
    lost = recorder(lost_at=NOW - WINDOW)
    assert status(consumer("ann", 2), recorders=(lost,)).state is AdoptionState.ADOPTED


def test_each_process_must_have_flushed_since_the_value_is_current() -> None:
    """Somebody may have fetched the old one just before; a process that has ended holds nothing."""
    behind = recorder(flushed_at=NOW + MARGIN - 1)
    found = status(consumer("ann", 2), recorders=(recorder(), behind))
    assert (found.state, found.reason) == (AdoptionState.WAITING, "not_flushed")
    found = status(recorders=(behind,))
    assert found.reason == "not_flushed", "whoever fetched first may not be stored yet"
    closed = replace(behind, is_open=False)
    assert status(consumer("ann", 2), recorders=(recorder(), closed)).state is AdoptionState.ADOPTED


async def rows(house: House) -> list[tuple[str, int]]:
    """Who fetched the secret, and which version."""
    head = await house.head(PATH)
    assert head is not None
    found = await ConsumerStore(house.barrier).list_of_secret(head.id)
    return [(row.consumer, row.version) for row in found]


async def read(house: House, by: Identity, version: int = 0) -> None:
    """A fetch."""
    await house.do("secret.read", PATH, ReadSecret(version=version), by=by)


async def test_a_read_is_recorded_and_costs_no_write(house: House) -> None:
    """The highest version of each counts; those of our own background work do not."""
    await house.write(PATH)
    await house.write(PATH)
    commits = house.store.commits
    await read(house, ANN)
    await read(house, ANN, version=1)
    await read(house, JOB, version=1)
    await read(house, service_identity("rotation"))
    assert house.store.commits == commits
    await house.recorder.flush()
    assert await rows(house) == [("key:k1", 2), ("token:acc", 1)]


async def test_reads_of_one_version_within_an_hour_are_one_write(house: House) -> None:
    """A new version, or an hour later, is one more."""
    await house.write(PATH)
    await read(house, ANN)
    await house.recorder.flush()
    commits = house.store.commits
    house.world.time += REFRESH - 1
    await read(house, ANN)
    await house.recorder.flush()
    assert house.store.commits == commits
    house.world.time += 1
    await read(house, ANN)
    await house.recorder.flush()
    (row,) = await ConsumerStore(house.barrier).list_of_identity("u1", None, 9)
    assert row.fetched_at == NOW + REFRESH


async def test_tokens_of_a_user_are_one_consumer(house: House) -> None:
    """An API key is one of its own: an application has one."""
    await house.write(PATH)
    for accessor in ("a1", "a2"):
        await read(house, replace(ANN, method=Method.TOKEN, credential=accessor))
    await read(house, ANN)
    await house.recorder.flush()
    assert await rows(house) == [("key:k1", 1), ("user:u1", 1)]
    found = await ConsumerStore(house.barrier).list_of_identity("u1", None, 9)
    assert len(found) == 2


async def test_a_flush_that_fails_keeps_what_it_has(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what came meanwhile; the next one writes both."""
    await house.write(PATH)
    store = ConsumerStore(house.barrier)

    async def fail(_: object) -> None:
        await trio.lowlevel.checkpoint()
        recorded.record(JOB, "s", PATH, 1)
        raise UnavailableError("store_unavailable", "down")

    recorded = ConsumerRecorder(store, house.world, "node", 0)
    await recorded.open()
    recorded.record(ANN, "s", PATH, 1)
    with monkeypatch.context() as patched:
        patched.setattr(store, "merge", fail)
        with pytest.raises(UnavailableError):
            await recorded.flush()
    await recorded.flush()
    assert {row.name for row in await store.list_of_secret("s")} == {"ann", "job"}


async def lost_at(house: House) -> dict[str, int]:
    """What each process has lost."""
    return {row.id: row.lost_at for row in await ConsumerStore(house.barrier).list_recorders()}


async def test_a_process_that_was_not_closed_has_lost_what_it_held(house: House) -> None:
    """Its own next start notices, or the next start of its node's first process."""
    store = ConsumerStore(house.barrier)
    worker = ConsumerRecorder(store, house.world, "node", 1)
    await worker.open()
    await ConsumerRecorder(store, house.world, "other", 1).open()
    await house.recorder.close()
    house.world.time += SECOND
    await ConsumerRecorder(store, house.world, "node", 0).open()
    assert await lost_at(house) == {"node/0": 0, "node/1": NOW + SECOND, "other/1": 0}
    house.world.time += SECOND
    await ConsumerRecorder(store, house.world, "other", 1).open()
    assert (await lost_at(house))["other/1"] == NOW + 2 * SECOND


async def test_a_process_that_was_closed_has_lost_nothing(house: House) -> None:
    """And takes no more: what it would be told is in nobody's memory."""
    await house.write(PATH)
    await read(house, JOB)
    await house.recorder.close()
    with pytest.raises(UnavailableError):
        await read(house, ANN)
    await ConsumerRecorder(ConsumerStore(house.barrier), house.world, "node", 0).open()
    assert await lost_at(house) == {"node/0": 0}
    assert await rows(house) == [("token:acc", 1)]


async def test_a_table_that_begins_among_secrets_has_lost_what_was_before(house: House) -> None:
    """After an upgrade, and after a restore, which leaves out who records."""
    await house.write(PATH)
    await ConsumerStore(house.barrier).change_recorders(lambda _: [])
    await ConsumerRecorder(ConsumerStore(house.barrier), house.world, "node", 0).open()
    assert await lost_at(house) == {"node/0": NOW}


async def test_what_finds_no_room_in_memory_is_a_loss(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stored with the next flush, and stays known through a restart."""
    monkeypatch.setattr(consumer_recorder, "MAX_PENDING", 1)
    house.recorder.record(ANN, "s", PATH, 1)
    house.recorder.record(JOB, "s", PATH, 1)
    await house.recorder.flush()
    assert await lost_at(house) == {"node/0": NOW}
    house.world.time += SECOND
    house.recorder.record(JOB, "s", PATH, 1)
    await house.recorder.close()
    await ConsumerRecorder(ConsumerStore(house.barrier), house.world, "node", 0).open()
    assert await lost_at(house) == {"node/0": NOW}


async def test_the_memory_of_what_is_stored_is_bounded(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is forgotten costs a write more, and no version."""
    monkeypatch.setattr(consumer_recorder, "MAX_SEEN", 2)
    for version in (2, 1):
        for secret in ("s", "t", "u"):
            house.recorder.record(ANN, secret, PATH, version)
    await house.recorder.flush()
    for secret in ("s", "t", "u"):
        (row,) = await ConsumerStore(house.barrier).list_of_secret(secret)
        assert row.version == 2


async def test_a_secret_has_so_many_consumers_at_most(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are one row, which says that not all are known."""
    monkeypatch.setattr(stores, "MAX_CONSUMERS", 2)
    for name in ("a", "b", "c", "d"):
        house.recorder.record(replace(JOB, id=name, credential=name), "s", PATH, 1)
    await house.recorder.flush()
    store = ConsumerStore(house.barrier)
    assert [row.consumer for row in await store.list_of_secret("s")] == ["", "token:a", "token:b"]
    await house.recorder.flush()
    rotation = replace(ROTATION, version=1)
    found = await StoredAdoption(store).status(rotation, WINDOW)
    assert found.reason == "too_many_consumers"


async def test_old_consumers_are_forgotten(house: House) -> None:
    """And those of a secret go with it."""
    await house.write(PATH)
    await read(house, ANN)
    await house.recorder.flush()
    house.world.time += KEPT - 1
    await forget_old_consumers(ConsumerStore(house.barrier), house.world)
    assert await rows(house) == [("key:k1", 1)]
    house.world.time += 1
    await forget_old_consumers(ConsumerStore(house.barrier), house.world)
    assert await rows(house) == []
    await read(house, JOB)
    await house.recorder.flush()
    head = await house.head(PATH)
    assert head is not None
    await house.do("secret.purge", PATH)
    assert await ConsumerStore(house.barrier).list_of_secret(head.id) == []


async def test_a_rotation_that_waits_has_idle_processes_report(house: House) -> None:
    """Nobody reads anything; still the rotation must come to know that nothing is held back."""
    await house.recorder.flush()
    (before,) = await ConsumerStore(house.barrier).list_recorders()
    house.world.time += SECOND
    await house.recorder.flush()
    assert [before] == await ConsumerStore(house.barrier).list_recorders()
    await house.write(PATH)
    head = await house.head(PATH)
    assert head is not None
    waiting = replace(ROTATION, secret_id=head.id, state="current")
    await RotationStore(house.barrier).transact(lambda tx: tx.put_rotation(waiting))
    await house.recorder.flush()
    (after,) = await ConsumerStore(house.barrier).list_recorders()
    assert after.flushed_at == NOW + SECOND


@pytest.fixture
async def radius(house: House) -> House:
    """A house with the handlers of this file's operations."""
    rotations = RotationStore(house.barrier)
    handlers = ConsumerHandlers(
        ConsumerStore(house.barrier), SecretStore(house.barrier), rotations,
        Dependents([lambda: find_rotated(rotations)], house.world), house.users, house.tokens,
        Authorizer(house.book), house.world,
    )  # fmt: skip
    house.handlers.update(handlers.handlers())
    return house


async def test_a_secret_names_who_fetched_it(radius: House) -> None:
    """The latest first, with what each has."""
    await radius.write(PATH)
    await read(radius, ANN)
    radius.world.time += SECOND
    await read(radius, JOB)
    await radius.recorder.flush()
    found: SecretConsumers = await radius.do("secret.consumers", PATH, Nothing())
    assert [(row.name, row.version) for row in found.consumers] == [("job", 1), ("ann", 1)]
    assert (found.is_partial, found.rotated_at, found.written_at) == (False, 0, NOW)


async def test_who_may_read_is_asked_of_all_identities(radius: House) -> None:
    """By the rule that allows it, page by page; a caller who may not list users sees none."""
    await radius.write(PATH)
    await radius.allow("reads", "secret/*", capabilities=("read",))
    office = [{"type": "source_network", "networks": ["192.0.2.0/24"]}]
    await radius.allow("office", "secret/*", capabilities=("read",), conditions=office)
    for name, policy in (("ann", "reads"), ("bob", "office"), ("cid", "default")):
        await radius.users.create(ROOT, name, policies=[policy])
    found, cursor = list[Any](), ""
    while True:
        page: ReaderPage = await radius.do(
            "secret.readers", PATH, ListReaders(limit=1, cursor=cursor)
        )
        found += page.readers
        cursor = page.cursor
        if not cursor:
            break
    assert {(one.name, one.rule, one.is_conditional) for one in found} == {
        ("ann", "reads/rules[0]", False),
        ("bob", "office/rules[0]", True),
    }
    looker = await radius.allow("looks", "secret/*", capabilities=("read_metadata",))
    page = await radius.do("secret.readers", PATH, ListReaders(), by=looker)
    assert (page.readers, page.hidden) == ([], ["user", "token"])
