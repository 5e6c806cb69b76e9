"""Tests of values: each write makes a version, and none is ever overwritten."""

import json

import pytest
from msgspec import UNSET, UnsetType
from msgspec.structs import asdict, replace

from protocols.instant import MAX_NS
from tests.unit.vault.handlers.conftest import NOW, SECOND, House
from vault.barrier import VaultTx
from vault.errors import ConflictError, NotFoundError, TooLargeError, ValidationError
from vault.handlers.secret_settings import MAX_VALUE_BYTES
from vault.handlers.secrets import MAX_ATTEMPTS
from vault.model.labels import Labels
from vault.model.payloads import (
    CompareVersions,
    Nothing,
    PatchSecret,
    ReadMetadata,
    ReadSecret,
    RollbackSecret,
    SecretVersions,
    WriteMetadata,
    WriteSecret,
)
from vault.model.records import RecordStatus
from vault.model.results import SecretValue, SecretWritten
from vault.store.tables import SECRETS, VERSIONS

APP = "secret/app"


async def read(house: House, version: int = 0, path: str = APP) -> SecretValue:
    """A value."""
    found: SecretValue = await house.do("secret.read", path, ReadSecret(version=version))
    return found


async def test_what_was_written_is_read(house: House) -> None:
    """The bytes of the value come back as they were, with who wrote them and when."""
    written = await house.write(APP, b' {"a": 1.50}')
    found = await read(house)
    assert found.value == b' {"a": 1.50}'
    assert (found.version.version, found.version.created_by) == (1, "root")
    assert (found.secret.status, found.secret.created_at) == (RecordStatus.ACTIVE, NOW)
    assert replace(found.secret, mac=b"") == written.secret


async def test_the_value_is_sealed(house: House) -> None:
    """Nothing of the plaintext is in the stored row."""
    written = await house.write(APP, b'"a value that must not be seen"')
    row = await house.version(written.secret.id, 1)
    assert row is not None
    assert b"must not be seen" not in row.box + row.wrapped_dek


async def test_each_write_makes_a_version(house: House) -> None:
    """Older versions stay readable; the current one is the last."""
    for number in range(1, 4):
        written = await house.write(APP, str(number).encode())
        assert written.version.version == number
    assert [(await read(house, n)).value for n in (0, 1, 2, 3)] == [b"3", b"1", b"2", b"3"]


@pytest.mark.parametrize("version", [4, -1])
async def test_no_such_version(house: House, version: int) -> None:
    """A version that never was is not found; neither is a secret that is not there."""
    await house.write(APP)
    with pytest.raises(NotFoundError, match="version_not_found"):
        await read(house, version)
    with pytest.raises(NotFoundError, match="secret_not_found"):
        await read(house, path="secret/other")


async def test_cas(house: House) -> None:
    """Check-and-set: 0 means that none may exist, any other number the current version."""
    with pytest.raises(ConflictError, match="cas_mismatch"):
        await house.write(APP, cas=1)
    await house.write(APP, cas=0)
    with pytest.raises(ConflictError, match="cas_mismatch"):
        await house.write(APP, cas=0)
    await house.write(APP, cas=1)
    with pytest.raises(ConflictError, match="cas_mismatch"):
        await house.write(APP, cas=1)
    assert (await read(house)).version.version == 2


async def test_cas_required(house: House) -> None:
    """Where the mount or the secret asks for check-and-set, a write without it is refused."""
    await house.mount("strict/", cas_required=True)
    with pytest.raises(ValidationError, match="cas_required"):
        await house.write("strict/a")
    await house.write("strict/a", cas=0)
    await house.write(APP)
    await house.do("secret.metadata.write", APP, WriteMetadata(cas_required=True))
    with pytest.raises(ValidationError, match="cas_required"):
        await house.write(APP)


async def test_create_only_and_must_exist(house: House) -> None:
    """The two halves of an upsert, each refused where the other is meant."""
    with pytest.raises(NotFoundError):
        await house.write(APP, must_exist=True)
    await house.write(APP, create_only=True)
    with pytest.raises(ConflictError, match="secret_exists"):
        await house.write(APP, create_only=True)


@pytest.mark.parametrize("exists", [True, False])
async def test_an_upsert_does_what_was_authorized(house: House, *, exists: bool) -> None:
    """What came or went between the decision and the transaction is a conflict, not a bypass."""
    if not exists:
        await house.write(APP)
    with pytest.raises(ConflictError, match="changed_meanwhile"):
        await house.do("secret.write", APP, WriteSecret(value=b"1"), exists=exists)


OLD_TAGS = frozenset({"old"})
ON_ONE_SECRET: list[tuple[str, object]] = [
    ("secret.read", ReadSecret()),
    ("secret.write", WriteSecret(value=b"1")),
    ("secret.patch", PatchSecret(patch=b"{}")),
    ("secret.rollback", RollbackSecret(version=1)),
    ("secret.metadata.read", ReadMetadata()),
    ("secret.metadata.diff", CompareVersions(before=1)),
    ("secret.metadata.write", WriteMetadata(tags=["mine"])),
    ("secret.delete", SecretVersions()),
    ("secret.undelete", SecretVersions()),
    ("secret.destroy", SecretVersions()),
    ("secret.purge", Nothing()),
    ("secret.remove", Nothing()),
]


async def test_every_operation_on_a_secret_is_among_those(house: House) -> None:
    """A new one has to be added above, and so to check what was decided on."""
    assert {name for name, _ in ON_ONE_SECRET} == {
        name for name, handler in house.handlers.items() if handler.targets_secret
    }


@pytest.mark.parametrize(("name", "payload"), ON_ONE_SECRET)
async def test_tags_that_decided_must_still_be_there(
    house: House, name: str, payload: object
) -> None:
    """Retagged, or gone, between the decision and the deed: a conflict, and nothing is done."""
    await house.write(APP, b'{"a":1}', tags=["new"])
    before = await house.head(APP)
    for facts in ({"tags": OLD_TAGS}, {"metadata": {"a": "b"}}, {"exists": False, "tags": set()}):
        with pytest.raises(ConflictError, match="changed_meanwhile"):
            await house.do(name, APP, payload, needs_facts=True, **facts)
    assert await house.head(APP) == before
    await house.do(name, APP, payload, needs_facts=True)


async def test_tags_that_nobody_asks_for_may_change(house: House) -> None:
    """Two writers without conditions do not get into each other's way."""
    await house.write(APP, tags=["new"])
    await house.do("secret.write", APP, WriteSecret(value=b"1"), tags=OLD_TAGS)


async def test_a_write_keeps_what_it_does_not_name(house: House) -> None:
    """Metadata and tags stay unless they are given; tags are sorted, without repeats."""
    await house.write(APP, metadata={"k": "v"}, tags=["b", "a", "b"])
    head = (await house.write(APP)).secret
    assert (head.metadata, head.tags) == ({"k": "v"}, ["a", "b"])
    head = (await house.write(APP, metadata={}, tags=[])).secret
    assert (head.metadata, head.tags) == ({}, [])


async def test_expiry(house: House) -> None:
    """At its instant an expired secret is gone, a moment before it is there."""
    await house.write(APP, expires_at=NOW + SECOND)
    house.world.time = NOW + SECOND - 1
    assert (await read(house)).value is not None
    house.world.time = NOW + SECOND
    with pytest.raises(NotFoundError, match="secret_expired"):
        await read(house)


async def test_an_expiry_belongs_to_its_version(house: House) -> None:
    """A new version has none unless it is given one; the old one stays expired for good."""
    await house.write(APP, b'"old"', expires_at=NOW + SECOND)
    house.world.time = NOW + 2 * SECOND
    assert (await house.write(APP, b'"new"')).secret.expires_at == 0
    shown = await read(house)
    assert (shown.value, shown.secret.expires_at) == (b'"new"', 0)
    await house.do("secret.undelete", APP, SecretVersions(versions=(1,)))
    with pytest.raises(NotFoundError, match="secret_expired"):
        await read(house, 1)
    with pytest.raises(NotFoundError, match="secret_expired"):
        await house.do("secret.rollback", APP, RollbackSecret(version=1))
    await house.write(APP, expires_at=NOW + 3 * SECOND)
    house.world.time = NOW + 3 * SECOND
    with pytest.raises(NotFoundError, match="secret_expired"):
        await read(house)
    assert (await read(house, 2)).value == b'"new"'


async def test_what_is_made_of_a_value_expires_with_it(house: House) -> None:
    """A patch and a roll-back have the old value in them, so they have its end as well."""
    await house.write(APP, b'{"a":1}', expires_at=NOW + SECOND)
    patched: SecretWritten = await house.do("secret.patch", APP, PatchSecret(patch=b'{"b":2}'))
    assert patched.secret.expires_at == NOW + SECOND
    await house.write(APP, b'{"c":3}')
    back: SecretWritten = await house.do("secret.rollback", APP, RollbackSecret(version=2))
    assert back.secret.expires_at == NOW + SECOND
    house.world.time = NOW + SECOND
    with pytest.raises(NotFoundError, match="secret_expired"):
        await read(house)
    with pytest.raises(NotFoundError, match="secret_expired"):
        await house.do("secret.patch", APP, PatchSecret(patch=b'{"d":4}'))


async def test_metadata_moves_the_expiry_of_the_current_version(house: House) -> None:
    """Which keeps it once there is a newer one; what is said of the versions is not changed."""
    await house.write(APP, b'"1"')
    await house.do("secret.metadata.write", APP, WriteMetadata(expires_at=NOW + SECOND))
    assert (await read(house)).secret.expires_at == NOW + SECOND
    await house.write(APP, b'"2"', expires_at=NOW + 9 * SECOND)
    info = await house.do("secret.metadata.read", APP, ReadMetadata())
    assert info.relabelled == {2: False}
    house.world.time = NOW + SECOND
    with pytest.raises(NotFoundError, match="secret_expired"):
        await read(house, 1)
    await house.do("secret.metadata.write", APP, WriteMetadata(expires_at=0))
    house.world.time = NOW + 9 * SECOND
    assert (await read(house)).value == b'"2"'


@pytest.mark.parametrize("labels", [UNSET, Labels(metadata={"k": "v"})])
async def test_versions_of_an_older_program_expire_with_their_head(
    house: House, labels: Labels | UnsetType
) -> None:
    """They had one expiry together, and keep it once there is a version with its own."""
    for _ in range(2):
        written = await house.write(APP, expires_at=NOW + SECOND)

    def as_it_was(tx: VaultTx) -> None:
        for number in (1, 2):
            version = tx.get(VERSIONS, written.secret.id, number)
            assert version is not None
            tx.put(VERSIONS, replace(version, labels=labels))

    await house.barrier.transact(as_it_was)
    assert (await read(house, 1)).secret.expires_at == NOW + SECOND
    await house.write(APP, b'"new"')
    house.world.time = NOW + SECOND
    for number in (1, 2):
        with pytest.raises(NotFoundError, match="secret_expired"):
            await read(house, number)
    assert (await read(house)).value == b'"new"'


async def test_versions_of_an_older_program_that_never_expire(house: House) -> None:
    """A later version's expiry is not theirs."""
    written = await house.write(APP, b'"old"')

    def as_it_was(tx: VaultTx) -> None:
        version = tx.get(VERSIONS, written.secret.id, 1)
        assert version is not None
        tx.put(VERSIONS, replace(version, labels=Labels()))

    await house.barrier.transact(as_it_was)
    await house.write(APP, expires_at=NOW + SECOND)
    house.world.time = NOW + SECOND
    assert (await read(house, 1)).value == b'"old"'


async def test_delete_version_after(house: House) -> None:
    """A version carries the instant of its own deletion; its value is not shown from then on."""
    await house.mount("short/", delete_version_after=SECOND)
    written = await house.write("short/a")
    assert written.version.deletion_time == NOW + SECOND
    house.world.time = NOW + SECOND
    assert (await read(house, path="short/a")).value is None


async def test_the_longest_delete_version_after(house: House) -> None:
    """However far it lies, the instant is one that every database keeps."""
    await house.mount("long/", delete_version_after=MAX_NS)
    assert (await house.write("long/a")).version.deletion_time == MAX_NS


async def test_pruning(house: House) -> None:
    """More than `max_versions` are never kept; what was pruned is gone from the database."""
    await house.mount("three/", max_versions=3)
    for number in range(1, 6):
        head = (await house.write("three/a", str(number).encode())).secret
    assert (head.oldest_version, head.current_version) == (3, 5)
    assert [await house.version(head.id, n) is not None for n in range(1, 6)] == [
        False, False, True, True, True,
    ]  # fmt: skip


async def test_a_lower_bound_prunes_at_the_next_write(house: House) -> None:
    """All versions over the new bound go, not only one."""
    for _ in range(5):
        await house.write(APP)
    await house.do("secret.metadata.write", APP, WriteMetadata(max_versions=2))
    head = (await house.write(APP)).secret
    assert head.oldest_version == 5
    assert [await house.version(head.id, n) for n in range(1, 5)] == [None] * 4
    with pytest.raises(NotFoundError):
        await read(house, 4)


async def test_kv1_keeps_one(house: House) -> None:
    """A mount of KV version 1 has no history."""
    await house.mount("old/", version=1)
    await house.write("old/a", b"1")
    head = (await house.write("old/a", b"2")).secret
    assert head.oldest_version == head.current_version == 2


async def test_patch(house: House) -> None:
    """RFC 7396, appendix A in miniature: null deletes, objects merge, anything else replaces."""
    await house.write(APP, b'{"a":{"b":1,"c":2},"d":[1,2],"e":"x"}')
    patch = PatchSecret(patch=b'{"a":{"b":null,"n":{"m":null}},"d":[3],"f":7}')
    written: SecretWritten = await house.do("secret.patch", APP, patch)
    assert written.version.version == 2
    value = (await read(house)).value
    assert value is not None
    assert json.loads(value) == {"a": {"c": 2, "n": {}}, "d": [3], "e": "x", "f": 7}


async def test_patch_of_what_is_not_there(house: House) -> None:
    """Nothing is merged into a deleted version, or into nothing."""
    patch = PatchSecret(patch=b"{}")
    with pytest.raises(NotFoundError):
        await house.do("secret.patch", APP, patch)
    await house.write(APP)
    await house.do("secret.delete", APP, SecretVersions())
    with pytest.raises(NotFoundError):
        await house.do("secret.patch", APP, patch)


async def test_patch_with_cas(house: House) -> None:
    """As for a write."""
    await house.write(APP)
    with pytest.raises(ConflictError):
        await house.do("secret.patch", APP, PatchSecret(patch=b"{}", cas=2))


async def test_rollback(house: House) -> None:
    """The old value as a new version; the old one and those between stay."""
    for value in (b"1", b"2"):
        await house.write(APP, value)
    written: SecretWritten = await house.do(
        "secret.rollback", APP, RollbackSecret(version=1, cas=2)
    )
    assert written.version.version == 3
    assert [(await read(house, n)).value for n in (1, 2, 3)] == [b"1", b"2", b"1"]


async def test_rollback_needs_a_live_version(house: House) -> None:
    """A deleted version does not come back as a new one."""
    for _ in range(2):
        await house.write(APP)
    await house.do("secret.delete", APP, SecretVersions(versions=(1,)))
    with pytest.raises(NotFoundError):
        await house.do("secret.rollback", APP, RollbackSecret(version=1))
    with pytest.raises(NotFoundError):
        await house.do("secret.rollback", APP, RollbackSecret(version=9))
    with pytest.raises(ConflictError):
        await house.do("secret.rollback", APP, RollbackSecret(version=2, cas=1))


async def test_size(house: House) -> None:
    """A value may have 1 MiB and not a byte more, also when a patch makes it."""
    await house.write(APP, b'"' + b"a" * (MAX_VALUE_BYTES - 2) + b'"')
    with pytest.raises(TooLargeError):
        await house.write(APP, b'"' + b"a" * (MAX_VALUE_BYTES - 1) + b'"')
    await house.write(APP, b'{"a":"' + b"a" * (MAX_VALUE_BYTES - 8) + b'"}')
    with pytest.raises(TooLargeError):
        await house.do("secret.patch", APP, PatchSecret(patch=b'{"b":1}'))


async def test_reads_are_counted(house: House) -> None:
    """A read of the value counts; one that shows no value does not."""
    head = (await house.write(APP)).secret
    await read(house)
    house.world.time += SECOND
    await read(house)
    await house.do("secret.delete", APP, SecretVersions())
    await read(house)
    access = await house.access.get(head.id)
    assert (access.value_reads, access.last_value_read) == (2, NOW + SECOND)


async def test_the_audit_views_hold_no_value_of_the_answer(house: House) -> None:
    """Of a value that was read, the record tells which it was."""
    written = await house.write(APP)
    view = house.handlers["secret.read"].audit_response
    assert view is not None
    assert asdict(view(await read(house))) == {"secret_id": written.secret.id, "version": 1}


async def test_a_patch_leaves_the_rest_as_it_was_written(house: House) -> None:
    """Numbers that a decoder would round stay as they are, also beside a nested change."""
    await house.write(APP, b'{"n":0.10000000000000000001,"e":1e2,"o":{"x":1.50,"y":2}}')
    await house.do("secret.patch", APP, PatchSecret(patch=b'{"o":{"y":null,"z":3.0}}'))
    found = await house.do("secret.read", APP, ReadSecret())
    assert found.value == b'{"n":0.10000000000000000001,"e":1e2,"o":{"x":1.50,"z":3.0}}'


async def test_a_secret_that_is_being_written_is_there(house: House) -> None:
    """Where one version is kept, a read between whose two looks a write falls finds the newer."""
    await house.mount("old/", version=1)
    await house.write("old/app")
    house.overtake("old/app", times=4)
    found = await read(house, path="old/app")
    assert found.version.version == found.secret.current_version == 5


async def test_a_secret_that_is_written_without_end_is_not_denied(house: House) -> None:
    """Whose every look is overtaken is told to try again, never that the secret is not there."""
    await house.mount("old/", version=1)
    await house.write("old/app")
    house.overtake("old/app", times=2 * MAX_ATTEMPTS)
    with pytest.raises(ConflictError, match="changed_meanwhile"):
        await read(house, path="old/app")


async def test_a_version_that_was_asked_for_is_looked_up_once(house: House) -> None:
    """One that a write has pruned meanwhile is gone, whatever the head says by now."""
    await house.mount("old/", version=1)
    await house.write("old/app")
    house.overtake("old/app", times=2)
    with pytest.raises(NotFoundError, match="version_not_found"):
        await read(house, 1, path="old/app")


async def test_a_cache_that_hears_late_of_a_write_hides_no_secret(house: House) -> None:
    """A commit is in the database a moment before the cache knows: then the database is asked."""
    await house.mount("old/", version=1)
    await house.write("old/app")
    old = await house.head("old/app")
    await house.write("old/app")
    house.store._cache.apply_commit(
        [(SECRETS, ("old/app",), old)]
    )  # the whole agent's, reads and lists
    assert (await read(house, path="old/app")).version.version == 2
