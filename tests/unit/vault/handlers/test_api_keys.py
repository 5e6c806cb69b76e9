"""Tests of API keys as things that operations act on."""

import msgspec
import pytest
import trio

from tests.unit.vault.handlers.conftest import NOW, SECOND, House
from vault.authn.api_keys import CreatedKey
from vault.errors import AuthorizationError, NotFoundError, ValidationError
from vault.model.identity import Permission
from vault.model.payloads import CreateApiKey, CreateUser, ListApiKeys

FOLDER = "sys/keys/"


async def make(house: House, user: str = "ann", **more: object) -> CreatedKey:
    """A key of a user, who is made if need be."""
    await house.do("user.create", "sys/users/", CreateUser(username=user))
    payload = CreateApiKey(user=user, name="ci", **more)  # type: ignore[arg-type]  # its fields
    made: CreatedKey = await house.do("key.create", FOLDER, payload)
    return made


async def test_the_text_is_shown_once(house: House) -> None:
    """By what makes the key, and by nothing else; the audit record never has it."""
    made = await make(house)
    assert made.text.startswith("fh_")
    shown = [
        await house.do("key.read", f"sys/keys/{made.key.id}"),
        *await house.do("key.list", FOLDER, ListApiKeys(user="ann")),
    ]
    assert made.text.encode() not in msgspec.json.encode(shown)
    view = house.handlers["key.create"].audit_response
    assert view is not None
    assert made.text.encode() not in msgspec.json.encode(view(made))


async def test_permissions_and_expiry(house: House) -> None:
    """They are validated, kept, and shown."""
    permissions = [{"capabilities": ["read"], "paths": ["s/*"]}]
    made = await make(house, permissions=permissions, expires_at=NOW + SECOND)
    assert made.key.permissions == (Permission(capabilities=("read",), paths=("s/*",)),)
    assert made.key.expires_at == NOW + SECOND


@pytest.mark.parametrize(
    "permissions",
    [[{"capabilities": ["fly"], "paths": ["s/*"]}], [{"capabilities": ["read"], "paths": ["/"]}]],
)
async def test_permissions_are_validated(house: House, permissions: object) -> None:
    """With the faulty field named."""
    with pytest.raises(ValidationError) as caught:
        await make(house, permissions=permissions)
    assert str(caught.value.details["field"]).startswith("permissions[0].")


async def test_a_key_belongs_to_a_user_by_name(house: House) -> None:
    """In any spelling; there is none for nobody."""
    await make(house)
    assert len(await house.do("key.list", FOLDER, ListApiKeys(user="ANN"))) == 1
    for name, payload in (
        ("key.list", ListApiKeys(user="bob")),
        ("key.create", CreateApiKey(user="bob", name="ci")),
    ):
        with pytest.raises(NotFoundError):
            await house.do(name, FOLDER, payload)


async def test_revoking_cuts_streams(house: House) -> None:
    """A live stream of the key ends with it; the key stays listed as revoked."""
    made = await make(house)
    with trio.fail_after(30), house.sessions.open_stream(made.key.id) as scope:
        await house.do("key.revoke", f"sys/keys/{made.key.id}")
        await trio.sleep_forever()
    assert scope.cancelled_caught
    (shown,) = await house.do("key.list", FOLDER, ListApiKeys(user="ann"))
    assert shown.status == "revoked"


async def test_nobody_revokes_the_key_of_someone_more_privileged(house: House) -> None:
    """Or makes one for him."""
    clerk = await house.allow("clerk", "sys/keys/*", capabilities=("create", "delete"))
    await house.do("user.create", "sys/users/", CreateUser(username="boss", policies=("admin",)))
    payload = CreateApiKey(user="boss", name="ci")
    made = await house.do("key.create", FOLDER, payload)
    with pytest.raises(AuthorizationError):
        await house.do("key.create", FOLDER, payload, by=clerk)
    with pytest.raises(AuthorizationError):
        await house.do("key.revoke", f"sys/keys/{made.key.id}", by=clerk)
