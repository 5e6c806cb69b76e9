"""Which secrets a rotation of many is about: by folder and tags, as the caller's policies allow."""

from collections.abc import Iterable
from typing import Final

import pytest

from protocols.instant import HOUR
from tests.unit.vault.handlers.conftest import ROOT, House
from vault.authz.authorizer import Authorizer
from vault.errors import ConflictError, ValidationError
from vault.handlers.adoption import StoredAdoption
from vault.handlers.rotation_selection import RotationSelectionHandlers
from vault.handlers.rotations import RotationHandlers
from vault.handlers.stores import ConsumerStore, RotationStore
from vault.model.identity import Identity
from vault.model.payloads import (
    BeginRotation,
    ListRotations,
    PlanRotations,
    SecretVersions,
    SelectRotations,
    WriteRotationPolicy,
)
from vault.model.results import RotationSelection
from vault.model.rotation import RotationPolicy
from vault.rotation.rotator import Rotators
from vault.rotation.rotators.generated import KIND

PROD: Final = ("secret/db/one", "secret/db/two", "secret/web/three")


@pytest.fixture
async def prepared(house: House) -> House:
    """Three secrets with the tag `env=prod` and one without; all but one have a policy."""
    rotators = Rotators()
    rotators.register(KIND)
    store, authorizer = RotationStore(house.barrier), Authorizer(house.book)
    house.handlers.update(
        RotationHandlers(
            store, rotators, StoredAdoption(ConsumerStore(house.barrier)), authorizer, house.world
        ).handlers()
        | RotationSelectionHandlers(store, authorizer, house.world).handlers()
    )
    for name in PROD:
        await house.write(name, b'{"password":"first"}', tags=["env=prod", name[-3:]])
    await house.write("secret/db/other", tags=["env=test"])
    asked = WriteRotationPolicy(policy=RotationPolicy(rotator="generated", interval=24 * HOUR))
    for name in (*PROD[:2], "secret/db/other"):
        await house.do("rotation.policy.write", name, asked)
    return house


async def select(
    house: House, folder: str = "", *tags: str, by: Identity = ROOT, **more: object
) -> RotationSelection:
    """As the caller."""
    payload = SelectRotations(tags=tags, **more)  # type: ignore[arg-type]
    found: RotationSelection = await house.do("rotation.select", folder, payload, by=by)
    return found


def codes(found: RotationSelection) -> dict[str, str]:
    """Why each cannot be rotated."""
    return {secret.path: secret.code for secret in found.secrets}


async def test_all_tags_and_the_folder_count(prepared: House) -> None:
    """And each says why it cannot be rotated."""
    ready = dict.fromkeys(PROD[:2], "")
    missing = {PROD[2]: "rotation_policy_missing"}
    assert codes(await select(prepared, "", "env=prod")) == ready | missing
    assert codes(await select(prepared, "secret/db/", "env=prod")) == ready
    assert codes(await select(prepared, "", "env=prod", "two")) == {PROD[1]: ""}
    assert codes(await select(prepared, "", "env")) == {}
    with pytest.raises(ValidationError, match="selection_empty"):
        await select(prepared)


async def test_what_runs_and_what_has_no_value_is_refused(prepared: House) -> None:
    """With the code that a request for it alone would get."""
    await prepared.do("rotation.begin", PROD[0], BeginRotation())
    await prepared.do("secret.delete", PROD[1], SecretVersions(versions=(1,)))
    found = codes(await select(prepared, "secret/db/", "env=prod"))
    assert found == {PROD[0]: "rotation_running", PROD[1]: "secret_not_live"}
    for name, code in found.items():
        with pytest.raises(ConflictError, match=code):
            await prepared.do("rotation.begin", name, BeginRotation())


async def test_a_page_ends_and_the_next_one_goes_on(prepared: House) -> None:
    """Nothing is there twice, nothing is left out."""
    first = await select(prepared, "", "env=prod", limit=2)
    assert list(codes(first)) == list(PROD[:2])
    second = await select(prepared, "", "env=prod", limit=2, cursor=first.cursor)
    assert (list(codes(second)), second.cursor) == ([PROD[2]], "")


async def test_what_has_begun_since_begins_no_more(prepared: House) -> None:
    """So a request may be repeated, in whole or in part, until the caller gives another time."""
    since = prepared.world.time
    row = await prepared.do("rotation.begin", PROD[0], BeginRotation(since=since, delay=HOUR))
    assert row.next_at == since + HOUR
    again = await prepared.do("rotation.begin", PROD[0], BeginRotation(since=since))
    assert (again.number, again.next_at) == (1, row.next_at)
    found = await select(prepared, "secret/db/", "env=prod", since=since)
    assert [secret.rotation and secret.rotation.number for secret in found.secrets] == [1, None]
    assert codes(await select(prepared, "secret/db/", "one", since=since + 1)) == {
        PROD[0]: "rotation_running"
    }


async def test_the_callers_policies_decide_on_each(prepared: House) -> None:
    """What may be seen and not changed is refused; what may be listed and not seen is counted."""
    reader = await prepared.allow("reader", "secret/db/*", capabilities=("read_metadata",))
    found = await select(prepared, "", "env=prod", by=reader)
    assert (codes(found), found.hidden) == (dict.fromkeys(PROD[:2], "permission_denied"), 0)
    lister = await prepared.allow("lister", "secret/*", capabilities=("list",))
    found = await select(prepared, "", "env=prod", by=lister)
    assert (codes(found), found.hidden) == ({}, 4)
    stranger = await prepared.allow("stranger", "a/*", capabilities=("list", "update"))
    found = await select(prepared, "", "env=prod", by=stranger)
    assert (codes(found), found.hidden) == ({}, 0)
    by_tag = await prepared.allow(
        "by-tag", "secret/*", capabilities=("read_metadata", "update"),
        conditions=[{"type": "tags", "any": ["two"]}],
    )  # fmt: skip
    assert codes(await select(prepared, "", "env=prod", by=by_tag)) == {PROD[1]: ""}


async def test_lists_and_plans_by_tag(prepared: House) -> None:
    """And those that have a next step apart from those that are over."""
    for name in (*PROD[:2], "secret/db/other"):
        await prepared.do("rotation.begin", name, BeginRotation())
    await prepared.do("rotation.undo", PROD[0])

    async def listed(**more: object) -> set[str]:
        page = await prepared.do("rotation.list", "", ListRotations(**more))  # type: ignore[arg-type]
        return paths(page.rotations)

    assert await listed(tags=("env=prod",)) == set(PROD[:2])
    assert await listed(tags=("env=prod",), running=True) == {PROD[1]}
    assert await listed(running=True) == {PROD[1], "secret/db/other"}
    assert await listed(running=True, state="undone") == set()
    plan = PlanRotations(before=prepared.world.time + 48 * HOUR, tags=("env=prod",))
    assert [due.path for due in (await prepared.do("rotation.plan", "", plan)).secrets] == [PROD[0]]


def paths(rows: Iterable[object]) -> set[str]:
    """Of rotations."""
    return {row.path for row in rows}  # type: ignore[attr-defined]
