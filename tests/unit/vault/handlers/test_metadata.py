"""Tests of metadata: everything about a secret but its values."""

from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from tests.unit.vault.handlers.conftest import SECOND, House
from vault.errors import ConflictError, NotFoundError, ValidationError
from vault.handlers.metadata import CACHED_VERSIONS
from vault.handlers.secrets import MAX_ATTEMPTS
from vault.model.labels import Labels
from vault.model.operation import SecretFacts
from vault.model.payloads import (
    CompareVersions,
    PatchSecret,
    ReadMetadata,
    ReadSecret,
    RollbackSecret,
    SecretVersions,
    WriteMetadata,
)
from vault.model.records import RecordStatus
from vault.model.results import SecretInfo, VersionComparison
from vault.store.table import StoreQuery, Table
from vault.store.tables import SECRETS, VERSIONS

APP = "secret/app"


async def test_read(house: House) -> None:
    """The head, every version in order with who wrote it, and the mount."""
    await house.mount("secret/", max_versions=5)
    for _ in range(7):
        await house.write(APP)
    info: SecretInfo = await house.do("secret.metadata.read", APP, ReadMetadata())
    assert [row.version for row in info.versions] == [3, 4, 5, 6, 7]
    assert {row.created_by for row in info.versions} == {"root"}
    assert info.mount is not None
    assert info.mount.path == "secret/"


async def test_reading_metadata_is_not_a_use(house: House) -> None:
    """Reads of the value and of the metadata are counted apart; this read is counted after it.

    Who does not want to know is not told: a worker does not know.
    """
    await house.write(APP)
    await house.do("secret.read", APP, ReadSecret())
    assert (await house.do("secret.metadata.read", APP, ReadMetadata())).access is None
    house.world.time += SECOND
    info: SecretInfo = await house.do("secret.metadata.read", APP, ReadMetadata(uses=True))
    assert info.access is not None
    assert (info.access.value_reads, info.access.metadata_reads) == (1, 1)
    assert info.access.last_metadata_read == house.world.time - SECOND


async def test_many_versions_are_all_listed(house: House) -> None:
    """More versions than one page of the database holds."""
    await house.mount("secret/", max_versions=2000)
    for _ in range(1003):
        await house.write(APP, b"1")
    info: SecretInfo = await house.do("secret.metadata.read", APP, ReadMetadata())
    assert [row.version for row in info.versions] == list(range(1, 1004))


async def test_versions_at_hand_are_those_of_the_head(house: House) -> None:
    """Where a write came since it was looked up the database is asked, and the head again."""
    await house.write(APP)
    head = await house.head(APP)
    await house.do("secret.delete", APP, SecretVersions())
    get, late = house.barrier.get, [head, head]  # for the facts, and for the handler

    async def overtaken(table: Table[Any], *key: str | int) -> Any:
        return late.pop() if table is SECRETS and late else await get(table, *key)

    house.barrier.get = overtaken  # type: ignore[method-assign, assignment]
    asked: list[StoreQuery] = []
    select = house.barrier.select

    async def counted(table: Table[Any], query: StoreQuery) -> list[Any]:
        asked.append(query)
        return await select(table, query)

    house.barrier.select = counted  # type: ignore[method-assign, assignment]
    await house.do("secret.metadata.read", APP, ReadMetadata())
    assert len(asked) == 1


async def test_write_merges_or_replaces(house: House) -> None:
    """Merging keeps what is not named and deletes what is null; replacing keeps nothing."""
    await house.write(APP, metadata={"a": "1", "b": "2"})
    merge = WriteMetadata(metadata={"a": None, "c": "3"}, merge=True)
    assert (await house.do("secret.metadata.write", APP, merge)).metadata == {"b": "2", "c": "3"}
    anew = WriteMetadata(metadata={"d": "4"})
    assert (await house.do("secret.metadata.write", APP, anew)).metadata == {"d": "4"}


async def test_write_changes_what_it_names(house: House) -> None:
    """Everything else stays, the versions untouched."""
    await house.write(APP, tags=["t"])
    written = await house.do(
        "secret.metadata.write",
        APP,
        WriteMetadata(max_versions=3, cas_required=True, delete_version_after=SECOND, expires_at=7),
    )
    assert (written.max_versions, written.cas_required, written.tags) == (3, True, ["t"])
    assert (written.delete_version_after, written.expires_at) == (SECOND, 7)
    assert written.current_version == 1


async def test_write_can_come_before_the_first_version(house: House) -> None:
    """KV v2 allows it; the secret is empty until a version is written."""
    written = await house.do("secret.metadata.write", APP, WriteMetadata(metadata={"a": "1"}))
    assert (written.status, written.current_version) == (RecordStatus.EMPTY, 0)
    with pytest.raises(NotFoundError):
        await house.do("secret.read", APP, ReadSecret())
    assert (await house.write(APP)).secret.metadata == {"a": "1"}


async def test_must_exist(house: House) -> None:
    """Where the dialect asks for it, nothing is made in passing."""
    with pytest.raises(NotFoundError):
        await house.do("secret.metadata.write", APP, WriteMetadata(must_exist=True))
    with pytest.raises(NotFoundError):
        await house.do("secret.metadata.read", APP, ReadMetadata())


async def test_bounds_hold_for_the_merged_whole(house: House) -> None:
    """Many small merges cannot grow it over its bound."""
    await house.write(APP, metadata={f"k{n}": "" for n in range(64)})
    payload = WriteMetadata(metadata={"one": "more"}, merge=True)
    with pytest.raises(ValidationError, match="metadata_invalid"):
        await house.do("secret.metadata.write", APP, payload)


async def test_a_merge_leaves_what_it_does_not_name(house: House) -> None:
    """What was stored before metadata had to be printable is kept, and is not written anew."""
    await house.write(APP, metadata={"old": "fine"})
    head = await house.barrier.get(SECRETS, APP)
    assert head is not None
    old = replace(head, metadata={"old": "a\nb"})
    await house.barrier.transact(lambda tx: tx.put(SECRETS, old))
    merge = WriteMetadata(metadata={"new": "c"}, merge=True)
    merged = await house.do("secret.metadata.write", APP, merge)
    assert merged.metadata == {"old": "a\nb", "new": "c"}
    merge = WriteMetadata(metadata={"new": "c\nd"}, merge=True)
    with pytest.raises(ValidationError, match="metadata_invalid"):
        await house.do("secret.metadata.write", APP, merge)


async def test_an_upsert_does_what_was_authorized(house: House) -> None:
    """What came or went between the decision and the transaction is a conflict, not a bypass."""
    with pytest.raises(ConflictError, match="changed_meanwhile"):
        await house.do("secret.metadata.write", APP, WriteMetadata(), exists=True)
    await house.write(APP)
    with pytest.raises(ConflictError, match="changed_meanwhile"):
        await house.do("secret.metadata.write", APP, WriteMetadata(), exists=False)


async def test_new_facts_are_proposed(house: House) -> None:
    """The decision is asked about the tags and metadata as the write would leave them."""
    proposes = house.handlers["secret.metadata.write"].proposed_facts
    assert proposes is not None
    facts = SecretFacts(exists=True, tags=frozenset({"a"}), metadata={"k": "v", "l": "w"})
    kept = proposes(WriteMetadata(), facts)
    assert kept == facts
    changed = proposes(WriteMetadata(tags=["b"], metadata={"k": None}, merge=True), facts)
    assert changed == SecretFacts(exists=True, tags=frozenset({"b"}), metadata={"l": "w"})
    replaced = proposes(WriteMetadata(metadata={"m": "x"}), facts)
    assert replaced.metadata == {"m": "x"}


async def diff(house: House, before: int, after: int = 0) -> VersionComparison:
    """What two versions were said to be."""
    asked = CompareVersions(before=before, after=after)
    found: VersionComparison = await house.do("secret.metadata.diff", APP, asked)
    return found


async def test_each_version_keeps_what_was_said_of_it(house: House) -> None:
    """Given with the write, or as it was; changing the metadata later changes no version."""
    await house.write(APP, metadata={"env": "dev"}, tags=["b", "a"])
    merge = WriteMetadata(metadata={"env": "prod"}, merge=True, tags=["c"])
    await house.do("secret.metadata.write", APP, merge)
    await house.do("secret.patch", APP, PatchSecret(patch=b'{"x":1}'))
    await house.do("secret.rollback", APP, RollbackSecret(version=1))
    await house.write(APP, metadata={})
    found = await diff(house, 1, 2)
    assert found.before.labels == Labels(metadata={"env": "dev"}, tags=["a", "b"])
    assert found.after.labels == Labels(metadata={"env": "prod"}, tags=["c"])
    assert (found.before.by, found.before.version) == ("root", 1)
    assert (await diff(house, 3)).before.labels == found.after.labels
    assert (await diff(house, 3)).after.labels == Labels(tags=["c"])
    info: SecretInfo = await house.do("secret.metadata.read", APP, ReadMetadata())
    assert info.relabelled == {2: True, 3: False, 4: True}


async def test_a_difference_with_the_secret_as_it_is_now(house: House) -> None:
    """Version 0: when it was changed last; by whom is not kept there. It counts as no use."""
    await house.write(APP)
    house.world.time += SECOND
    await house.do("secret.metadata.write", APP, WriteMetadata(tags=["t"]))
    found = await diff(house, 1)
    assert (found.after.version, found.after.at, found.after.by) == (0, house.world.time, "")
    assert found.after.labels.tags == ["t"]
    info: SecretInfo = await house.do("secret.metadata.read", APP, ReadMetadata(uses=True))
    assert info.access is not None
    assert (info.access.value_reads, info.access.metadata_reads) == (0, 1)


async def test_what_was_said_outlives_the_value(house: House) -> None:
    """A destroyed version has no value left; who wrote it, and what it was called, stays."""
    await house.write(APP, tags=["t"])
    await house.do("secret.destroy", APP, SecretVersions(versions=(1,)))
    assert (await diff(house, 1, 1)).before.labels.tags == ["t"]


async def test_versions_are_listed_without_what_may_be_large(house: House) -> None:
    """A secret has up to 10,000 of them: neither the sealed parts nor the labels are gathered."""
    await house.write(APP, tags=["t"])
    info: SecretInfo = await house.do("secret.metadata.read", APP, ReadMetadata())
    (row,) = info.versions
    assert (row.wrapped_dek, row.box, row.labels) == (b"", b"", UNSET)


@pytest.mark.parametrize("label", ["", "x" * 512])
async def test_large_labels_are_unpacked_a_few_at_a_time(
    house: House, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two pages of versions others have their turn."""
    await house.mount("secret/", max_versions=2000)
    for _ in range(250):
        await house.write(APP, b"1", metadata={f"k{n}": label for n in range(60)})
    asked: list[int] = []
    select = house.barrier.select

    async def noted(table: Any, query: Any) -> Any:
        asked.append(query.limit)
        return await select(table, query)

    monkeypatch.setattr(house.barrier, "select", noted)
    info: SecretInfo = await house.do("secret.metadata.read", APP, ReadMetadata())
    assert len(info.versions) == 250
    assert max(asked) == (16 if label else 100)


async def test_a_version_from_before_labels_were_kept(house: House) -> None:
    """It says so, and what to do; whether the next one changed anything is not known."""
    written = await house.write(APP)
    old = await house.version(written.secret.id, 1)
    assert old is not None
    await house.barrier.transact(lambda tx: tx.put(VERSIONS, replace(old, labels=UNSET)))
    await house.write(APP)
    await house.write(APP)
    with pytest.raises(NotFoundError) as caught:
        await diff(house, 1, 2)
    assert caught.value.code == "labels_not_kept"
    assert "version 1" in caught.value.message
    with pytest.raises(NotFoundError) as caught:
        await diff(house, 2, 9)
    assert caught.value.code == "version_not_found"
    info: SecretInfo = await house.do("secret.metadata.read", APP, ReadMetadata())
    assert info.relabelled == {3: False}


async def test_no_difference_of_no_secret(house: House) -> None:
    """Nor when what was decided on is no longer so."""
    with pytest.raises(NotFoundError) as caught:
        await diff(house, 1)
    assert caught.value.code == "secret_not_found"
    await house.write(APP, tags=["t"])
    asked = CompareVersions(before=1)
    with pytest.raises(ConflictError):
        await house.do("secret.metadata.diff", APP, asked, needs_facts=True, tags=frozenset())


async def test_the_current_version_is_among_those_that_are_listed(house: House) -> None:
    """Also when a write falls between the look at the head and the one at its versions."""
    await house.mount("old/", version=1)
    await house.write("old/app")
    house.overtake("old/app", times=3)
    info: SecretInfo = await house.do("secret.metadata.read", "old/app", ReadMetadata())
    assert [row.version for row in info.versions] == [info.secret.current_version] == [4]


async def test_metadata_of_what_is_written_without_end(house: House) -> None:
    """Whose every look is overtaken is told to try again, not half of two moments."""
    await house.mount("secret/", max_versions=2 * CACHED_VERSIONS)
    for _ in range(CACHED_VERSIONS + 1):
        await house.write(APP)
    house.overtake(APP, times=2 * MAX_ATTEMPTS)
    with pytest.raises(ConflictError, match="changed_meanwhile"):
        await house.do("secret.metadata.read", APP, ReadMetadata())
