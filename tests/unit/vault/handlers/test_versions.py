"""Tests of the life of versions: delete, undelete, destroy, purge."""

import pytest

from tests.unit.vault.handlers.conftest import NOW, SECOND, House
from vault.errors import NotFoundError, ValidationError
from vault.handlers.versions import MAX_VERSIONS_AT_ONCE
from vault.model.operation import Capability
from vault.model.payloads import ReadSecret, SecretVersions
from vault.model.records import RecordStatus, SecretRow
from vault.store.tables import ACCESS

APP = "secret/app"


async def values(house: House, count: int) -> list[bytes | None]:
    """The values of versions 1 to `count`."""
    found = [await house.do("secret.read", APP, ReadSecret(version=n + 1)) for n in range(count)]
    return [each.value for each in found]


async def edit(house: House, verb: str, *versions: int) -> SecretRow:
    """Delete, undelete or destroy."""
    head: SecretRow = await house.do(f"secret.{verb}", APP, SecretVersions(versions=versions))
    return head


async def test_delete_and_undelete(house: House) -> None:
    """A deleted version is hidden and comes back whole; the others are not touched."""
    for value in (b"1", b"2", b"3"):
        await house.write(APP, value)
    head = await edit(house, "delete", 1, 3)
    assert head.status == RecordStatus.DELETED
    assert await values(house, 3) == [None, b"2", None]
    head = await edit(house, "undelete", 1, 3)
    assert head.status == RecordStatus.ACTIVE
    assert await values(house, 3) == [b"1", b"2", b"3"]


async def test_empty_means_the_current_one(house: House) -> None:
    """Without numbers it is the current version."""
    for value in (b"1", b"2"):
        await house.write(APP, value)
    await edit(house, "delete")
    assert await values(house, 2) == [b"1", None]


async def test_deleting_twice_keeps_the_first_time(house: House) -> None:
    """The record says when it was deleted first."""
    head = (await house.write(APP)).secret
    await edit(house, "delete")
    house.world.time += SECOND
    await edit(house, "delete")
    row = await house.version(head.id, 1)
    assert row is not None
    assert row.deletion_time == NOW


async def test_destroy(house: House) -> None:
    """Ciphertext and wrapped key are gone from the row, which stays; nothing brings them back."""
    head = (await house.write(APP)).secret
    assert (await edit(house, "destroy", 1)).status == RecordStatus.DESTROYED
    row = await house.version(head.id, 1)
    assert row is not None
    assert (row.destroyed, row.box, row.wrapped_dek, row.created_by) == (True, b"", b"", "root")
    assert (await edit(house, "undelete", 1)).status == RecordStatus.DESTROYED
    assert await values(house, 1) == [None]
    assert (await edit(house, "destroy", 1)).status == RecordStatus.DESTROYED


async def test_unknown_versions_are_skipped(house: House) -> None:
    """As in KV v2: the known ones are changed, the others are no error."""
    await house.write(APP)
    await edit(house, "delete", 7, 1)
    assert await values(house, 1) == [None]


async def test_writing_after_a_deletion(house: House) -> None:
    """The new version is live, the deleted one stays deleted."""
    await house.write(APP, b"1")
    await edit(house, "delete")
    head = (await house.write(APP, b"2")).secret
    assert head.status == RecordStatus.ACTIVE
    assert await values(house, 2) == [None, b"2"]


async def test_an_undeleted_version_ends_again(house: House) -> None:
    """With `delete_version_after` its time begins anew: undeleting is no way around it."""
    await house.mount("secret/", delete_version_after=2 * SECOND)
    await house.write(APP, b"1")
    house.world.time += SECOND
    await edit(house, "undelete", 1)
    house.world.time += 2 * SECOND - 1
    assert await values(house, 1) == [b"1"]
    house.world.time += 1
    assert await values(house, 1) == [None]
    await edit(house, "undelete", 1)
    assert await values(house, 1) == [b"1"]


async def test_purge(house: House) -> None:
    """Head, versions and counts are gone; the name is free for a secret that shares nothing."""
    first = (await house.write(APP, b"1")).secret
    await house.write(APP, b"2")
    await values(house, 1)
    await house.access.flush()
    await house.do("secret.purge", APP)
    assert await house.head(APP) is None
    assert [await house.version(first.id, n) for n in (1, 2)] == [None, None]
    assert await house.barrier.get(ACCESS, first.id) is None
    second = (await house.write(APP, cas=0)).secret
    assert second.id != first.id
    assert second.current_version == 1


@pytest.mark.parametrize("verb", ["delete", "undelete", "destroy", "purge"])
async def test_no_such_secret(house: House, verb: str) -> None:
    """Nothing can be edited that is not there."""
    with pytest.raises(NotFoundError, match="secret_not_found"):
        await edit(house, verb)


async def test_what_cannot_be_taken_back_needs_its_own_capability(house: House) -> None:
    """`delete` covers undelete; destroying and purging take `destroy`."""
    found = {verb: house.handlers[f"secret.{verb}"] for verb in ("delete", "undelete", "destroy")}
    assert found["delete"].capability is found["undelete"].capability is Capability.DELETE
    assert found["destroy"].capability is Capability.DESTROY
    assert house.handlers["secret.purge"].capability is Capability.DESTROY
    assert all(handler.mutates and handler.targets_secret for handler in found.values())


async def test_the_writer_is_not_held_by_numbers(house: House) -> None:
    """Too many versions at once are refused; those that never were cost nothing."""
    await house.write(APP, b"1")
    with pytest.raises(ValidationError):
        await edit(house, "delete", *range(1, MAX_VERSIONS_AT_ONCE + 2))
    assert await values(house, 1) == [b"1"]
    await edit(house, "delete", *([1] * (MAX_VERSIONS_AT_ONCE + 1)), 7, 2**62)
    assert await values(house, 1) == [None]
