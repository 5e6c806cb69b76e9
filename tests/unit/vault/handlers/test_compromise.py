"""What an identity has fetched is rotated in an order, and its credentials end."""

from typing import Any, Final

import pytest
from msgspec.structs import replace

from protocols.instant import SECOND
from tests.unit.vault.handlers.conftest import NOW, ROOT, House
from vault.authn.tokens import NewToken
from vault.authz.authorizer import Authorizer
from vault.errors import AuthorizationError, ConflictError, NotFoundError
from vault.handlers.compromise import CompromiseHandlers, Credentials
from vault.handlers.consumers import Dependents, find_rotated
from vault.handlers.stores import ConsumerStore, RotationStore, SecretStore
from vault.model.identity import Identity, Method
from vault.model.payloads import ReadSecret
from vault.model.records import RotationRow, SecretRow, UserRow
from vault.model.results import Exposure, RevokedIdentity
from vault.model.rotation import RotationState

POLICY: Final = {"rotator": "generated"}
SECRETS: Final = ("secret/old", "secret/db", "secret/new", "secret/hand", "secret/admin")


@pytest.fixture
async def ann(house: House) -> Identity:
    """A user's API key that has fetched five secrets, one a second, and the handlers."""
    rotations = RotationStore(house.barrier)
    handlers = CompromiseHandlers(
        ConsumerStore(house.barrier), SecretStore(house.barrier), rotations,
        Dependents([lambda: find_rotated(rotations)], house.world),
        Credentials(house.users, house.tokens, house.keys), Authorizer(house.book), house.world,
    )  # fmt: skip
    house.handlers.update(handlers.handlers())
    user = await house.users.create(ROOT, "ann", policies=["reads"])
    key = (await house.keys.create(ROOT, user.id, "app")).key
    caller = Identity(
        id=user.id, name="ann", method=Method.API_KEY, policies=("root",), credential=key.id
    )
    for path in SECRETS:
        await house.write(path)
        await house.do("secret.read", path, ReadSecret(), by=caller)
        house.world.time += SECOND
    await house.recorder.flush()
    for path in ("secret/old", "secret/db", "secret/new"):
        connection = "secret/admin" if path == "secret/db" else ""
        await change(house, path, rotation_policy={**POLICY, "connection": connection})
    return caller


async def change(house: House, path: str, **fields: Any) -> SecretRow:
    """Change a head."""
    head = await house.head(path)
    assert head is not None
    changed = replace(head, **fields)
    await SecretStore(house.barrier).transact(lambda tx: tx.put_secret(changed))
    return changed


async def plan(house: House, name: str = "ann", by: Identity = ROOT) -> Exposure:
    """What is shown of an identity."""
    found: Exposure = await house.do("identity.exposure", f"sys/identities/{name}", by=by)
    return found


async def revoke(house: House, name: str = "ann", by: Identity = ROOT) -> RevokedIdentity:
    """End its credentials."""
    done: RevokedIdentity = await house.do("identity.revoke", f"sys/identities/{name}", by=by)
    return done


async def user(house: House) -> UserRow:
    """The row."""
    return await house.users.find_by_name("ann")


async def test_the_order_is_connections_then_rotators_then_by_hand(
    house: House, ann: Identity
) -> None:
    """Within each what was fetched last comes first."""
    found = await plan(house)
    assert [(one.path, one.rotator) for one in found.secrets] == [
        ("secret/admin", ""),
        ("secret/new", "generated"),
        ("secret/db", "generated"),
        ("secret/old", "generated"),
        ("secret/hand", ""),
    ]
    assert [one.is_connection for one in found.secrets] == [True, False, False, False, False]
    assert (found.kind, found.id, found.is_active) == ("user", ann.id, True)
    assert (found.hidden, found.is_partial) == (0, False)


async def test_a_caller_sees_what_its_policies_show(house: House, ann: Identity) -> None:
    """The others are a number."""
    looker = await house.allow("one", "secret/new", capabilities=("read_metadata",))
    found = await plan(house, by=looker)
    assert [one.path for one in found.secrets] == ["secret/new"]
    assert found.hidden == 4


async def test_the_states_say_what_is_left_to_do(house: House, ann: Identity) -> None:
    """A newer version is done, unless its rotation has not ended; a removed secret is left out."""
    await house.write("secret/hand")
    await house.write("secret/old")
    rows = {
        path: RotationRow(
            secret_id=head.id, number=1, path=path, policy=POLICY, cause="compromise",
            previous=1, next_at=NOW, began_at=NOW, state=state,
        )
        for path, state in (
            ("secret/old", RotationState.CURRENT),
            ("secret/db", RotationState.STUCK),
            ("secret/new", RotationState.UNDONE),
        )
        if (head := await house.head(path))
    }  # fmt: skip
    await RotationStore(house.barrier).transact(
        lambda tx: [tx.put_rotation(row) for row in rows.values()]
    )
    await house.do("secret.purge", "secret/admin")
    assert {one.path: one.state for one in (await plan(house)).secrets} == {
        "secret/old": "running",
        "secret/db": "stuck",
        "secret/new": "pending",
        "secret/hand": "done",
    }


async def test_revoking_ends_keys_and_tokens_and_disables_the_user(
    house: House, ann: Identity
) -> None:
    """Twice is the same; nobody waits for it any more, until it is enabled and fetches again."""
    token = await house.tokens.create(ann, NewToken(policies=("default",)))
    done = await revoke(house)
    assert (done.kind, done.id, done.keys) == ("user", ann.id, 1)
    assert await house.tokens.find_by_accessor(token.row.accessor) is None
    assert (await user(house)).status == "disabled"
    assert [key.status for key in await house.keys.list_for_user(ann.id)] == ["revoked"]
    assert (await revoke(house)).keys == 0
    store = ConsumerStore(house.barrier)
    rows = await store.list_of_identity(ann.id, None, 9)
    assert {row.compromised_at for row in rows} == {house.world.time}
    assert len((await plan(house)).secrets) == len(SECRETS), "the plan stays"
    house.world.time += SECOND
    house.recorder.record(ann, rows[0].secret_id, rows[0].path, 2)
    await house.recorder.flush()
    assert (await store.list_of_secret(rows[0].secret_id))[0].compromised_at == 0


async def test_what_is_a_token_ends_with_what_came_from_it(house: House, ann: Identity) -> None:
    """It is named by its accessor, also when it is gone; a user's token stands for the user."""
    root = await house.tokens.identity_of((await house.tokens.create_root()).row.accessor)
    assert root is not None
    made = await house.tokens.create(
        root, NewToken(policies=("default",), display_name="job"), orphan=True
    )
    job = await house.tokens.identity_of(made.row.accessor)
    assert job is not None
    house.recorder.record(job, "s", "secret/new", 1)
    await house.recorder.flush()
    assert (await revoke(house, made.row.accessor)).kind == "token"
    assert await house.tokens.find_by_accessor(made.row.accessor) is None
    gone = await plan(house, made.row.accessor)
    assert (gone.kind, gone.is_active) == ("token", False)
    assert (await plan(house, ann.credential)).id == ann.id
    session = await house.tokens.create(ann, NewToken(policies=("default",)))
    assert (await plan(house, session.row.accessor)).kind == "user"


async def test_nobody_ends_the_access_that_begins_the_rotations(
    house: House, ann: Identity
) -> None:
    """Nor that of somebody with more privileges; and a name that is unknown is told."""
    with pytest.raises(ConflictError, match="your own access"):
        await revoke(house, by=ann)
    assert (await user(house)).status == "active"
    await house.users.create(ROOT, "boss", policies=["root"])
    looker = await house.allow("small", "sys/*", capabilities=("sudo",))
    with pytest.raises(AuthorizationError):
        await revoke(house, "boss", by=looker)
    with pytest.raises(NotFoundError, match="no user of this name"):
        await plan(house, "nobody")
