"""Tests of metadata: everything about a secret but its values."""

import pytest

from tests.unit.vault.handlers.conftest import SECOND, House
from vault.errors import ConflictError, NotFoundError, ValidationError
from vault.model.operation import Facts
from vault.model.payloads import ReadSecret, WriteMetadata
from vault.model.records import Status
from vault.model.results import SecretInfo

APP = "secret/app"


async def test_read(house: House) -> None:
    """The head, every version in order with who wrote it, and the mount."""
    await house.mount("secret/", max_versions=5)
    for _ in range(7):
        await house.write(APP)
    info: SecretInfo = await house.do("secret.metadata.read", APP)
    assert [row.version for row in info.versions] == [3, 4, 5, 6, 7]
    assert {row.created_by for row in info.versions} == {"root"}
    assert info.mount is not None
    assert info.mount.path == "secret/"


async def test_reading_metadata_is_not_a_use(house: House) -> None:
    """Reads of the value and of the metadata are counted apart; this read is counted after it."""
    await house.write(APP)
    await house.do("secret.read", APP, ReadSecret())
    await house.do("secret.metadata.read", APP)
    house.world.time += SECOND
    info: SecretInfo = await house.do("secret.metadata.read", APP)
    assert (info.access.value_reads, info.access.metadata_reads) == (1, 1)
    assert info.access.last_metadata_read == house.world.time - SECOND


async def test_many_versions_are_all_listed(house: House) -> None:
    """More versions than one page of the database holds."""
    await house.mount("secret/", max_versions=2000)
    for _ in range(1003):
        await house.write(APP, b"1")
    info: SecretInfo = await house.do("secret.metadata.read", APP)
    assert [row.version for row in info.versions] == list(range(1, 1004))


async def test_write_merges_or_replaces(house: House) -> None:
    """Merging keeps what is not named and deletes what is null; replacing keeps nothing."""
    await house.write(APP, metadata={"a": "1", "b": "2"})
    merge = WriteMetadata(metadata={"a": None, "c": "3"}, merge=True)
    assert (await house.do("secret.metadata.write", APP, merge)).metadata == {"b": "2", "c": "3"}
    replace = WriteMetadata(metadata={"d": "4"})
    assert (await house.do("secret.metadata.write", APP, replace)).metadata == {"d": "4"}


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
    assert (written.status, written.current_version) == (Status.EMPTY, 0)
    with pytest.raises(NotFoundError):
        await house.do("secret.read", APP, ReadSecret())
    assert (await house.write(APP)).secret.metadata == {"a": "1"}


async def test_must_exist(house: House) -> None:
    """Where the dialect asks for it, nothing is made in passing."""
    with pytest.raises(NotFoundError):
        await house.do("secret.metadata.write", APP, WriteMetadata(must_exist=True))
    with pytest.raises(NotFoundError):
        await house.do("secret.metadata.read", APP)


async def test_bounds_hold_for_the_merged_whole(house: House) -> None:
    """Many small merges cannot grow it over its bound."""
    await house.write(APP, metadata={f"k{n}": "" for n in range(64)})
    payload = WriteMetadata(metadata={"one": "more"}, merge=True)
    with pytest.raises(ValidationError, match="metadata_invalid"):
        await house.do("secret.metadata.write", APP, payload)


async def test_an_upsert_does_what_was_authorized(house: House) -> None:
    """What came or went between the decision and the transaction is a conflict, not a bypass."""
    with pytest.raises(ConflictError, match="changed_meanwhile"):
        await house.do("secret.metadata.write", APP, WriteMetadata(), exists=True)
    await house.write(APP)
    with pytest.raises(ConflictError, match="changed_meanwhile"):
        await house.do("secret.metadata.write", APP, WriteMetadata(), exists=False)


async def test_new_facts_are_proposed(house: House) -> None:
    """The decision is asked about the tags and metadata as the write would leave them."""
    proposes = house.handlers["secret.metadata.write"].proposes
    assert proposes is not None
    facts = Facts(exists=True, tags=frozenset({"a"}), metadata={"k": "v", "l": "w"})
    kept = proposes(WriteMetadata(), facts)
    assert kept == facts
    changed = proposes(WriteMetadata(tags=["b"], metadata={"k": None}, merge=True), facts)
    assert changed == Facts(exists=True, tags=frozenset({"b"}), metadata={"l": "w"})
    replaced = proposes(WriteMetadata(metadata={"m": "x"}), facts)
    assert replaced.metadata == {"m": "x"}
