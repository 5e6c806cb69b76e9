"""A look at all secrets, and whose an opaque id is."""

from contextlib import suppress
from typing import Any

import pytest

from protocols.link.limits import MAX_NAMED
from tests.unit.vault.handlers.conftest import NOW, ROOT, SECOND, House
from vault.authn.credential_owners import CredentialOwners
from vault.authz.authorizer import Authorizer
from vault.errors import NotFoundError
from vault.handlers import usage as module
from vault.handlers.handler import Call
from vault.handlers.stores import AccessStore, SecretStore
from vault.handlers.usage import MAX_MOST_READ, MAX_NAMED_EACH, UsageHandlers
from vault.model.identity import Identity
from vault.model.operation import Operation, OperationType, Origin
from vault.model.path import ResourcePath
from vault.model.payloads import SecretVersions, WriteMetadata
from vault.model.records import AccessRow
from vault.model.usage import ReportUsage, ResolveOpaqueId, UsageReport
from vault.store.tables import ACCESS

DAY = 86_400 * SECOND


def opaque(kind: str, id_: str) -> bytes:
    """Of this test's own."""
    return f"{kind[0]}{id_}".encode()[:16].ljust(16, b"-")


class TwoUsers(CredentialOwners):
    """`k1` and `k2` are ann's; `gone` is nobody's."""

    def __init__(self) -> None:
        pass

    async def find_owner(self, credential: str) -> tuple[str, str] | None:
        """See `CredentialOwners`."""
        return {"k1": ("u1", "ann"), "k2": ("u1", "ann"), "k3": ("u2", "bob")}.get(credential)

    async def list_users(self) -> list[tuple[str, str]]:
        """See `CredentialOwners`."""
        return [("u1", "ann"), ("u2", "bob")]

    async def list_tokens(self) -> list[tuple[str, str]]:
        """See `CredentialOwners`."""
        return [("acc", "a token")]


async def ask(house: House, name: str, payload: object, by: Identity = ROOT) -> Any:
    """As the pipeline would."""
    authorizer = Authorizer(house.book)
    handlers = UsageHandlers(
        SecretStore(house.barrier),
        AccessStore(house.barrier),
        authorizer,
        opaque,
        TwoUsers(),
        house.world,
    ).handlers()
    op = Operation(
        type=OperationType(name),
        path=ResourcePath.parse("sys/usage"), payload=payload, request_id="r",
        credential=None, origin=Origin(ip=""),
    )  # fmt: skip
    return await handlers[name].run(Call(op, by))


async def look(house: House, **asked: Any) -> UsageReport:
    """Count them."""
    found: UsageReport = await ask(house, "usage.look", ReportUsage(**asked))
    return found


async def read_at(house: House, path: str, when: int) -> str:
    """Have it read then; returns its id."""
    row = await house.head(path)
    assert row is not None
    access = AccessRow(secret_id=row.id, value_reads=1, last_value_read=when)
    await house.barrier.transact(lambda tx: tx.put(ACCESS, access))
    return row.id


async def test_secrets_are_counted_by_class(house: House) -> None:
    """Idle since the last read or their making; old since their version; expiring, expired."""
    await house.write("s/old", expires_at=NOW + 5 * DAY)
    await house.write("s/read", expires_at=NOW + 300 * DAY)
    house.world.time = NOW + 100 * DAY
    await house.write("s/read")
    await read_at(house, "s/read", NOW + 99 * DAY)
    await house.do("secret.metadata.write", "s/old", WriteMetadata(tags=["x"]))
    found = await look(house)
    assert (found.total, found.never_read, found.expired) == (2, 1, 1)
    assert found.idle == (1, 0, 0, 0, 1, 0, 0)
    assert found.age == (1, 0, 0, 0, 1, 0, 0)  # metadata that is written makes no version young
    assert found.named == found.identities == ()


async def test_what_has_no_value_does_not_count(house: House) -> None:
    """A deleted secret cannot be used."""
    await house.write("s/a")
    await house.do("secret.delete", "s/a", SecretVersions())
    assert (await look(house)).total == 0


async def test_the_few_that_matter_are_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The most read, the longest idle, the oldest, the next to expire; never more than may be."""
    monkeypatch.setattr(module, "MAX_MOST_READ", 1)
    monkeypatch.setattr(module, "MAX_NAMED_EACH", 1)
    monkeypatch.setattr(module, "_PAGE", 2)
    ids = {}
    for number in range(5):
        house.world.time = NOW + number * DAY
        expires = NOW + (50 - number) * DAY
        await house.write(f"s/{number}", expires_at=expires)
        ids[number] = await read_at(house, f"s/{number}", NOW + (10 - number) * DAY)
    found = await look(house, opaque=True, reads={ids[2]: 9, ids[3]: 4, "gone": 99})
    named = {one.name: one for one in found.named}
    assert set(named) == {"s/2", "s/4", "s/0"}  # read; idle and expiring; oldest
    assert (named["s/2"].reads, named["s/2"].opaque) == (9, opaque("secret", ids[2]))
    assert named["s/0"].rotated_at == NOW
    assert 3 * 32 + 64 == MAX_NAMED == 3 * MAX_NAMED_EACH + MAX_MOST_READ


async def test_identities_are_added_up_over_their_credentials(house: House) -> None:
    """The most used first; a credential that is gone is nobody's."""
    found = await look(house, opaque=True, uses={"k1": 2, "k2": 3, "k3": 4, "gone": 9})
    assert [(one.name, one.count) for one in found.identities] == [("ann", 5), ("bob", 4)]


async def test_nobody_is_named_what_he_may_not_see(house: House) -> None:
    """All is counted; named is whose metadata he may read, and by its id what he may list."""
    ids = {}
    for name in ("s/mine", "s/seen", "s/hers"):
        ids[name] = opaque("secret", (await house.write(name)).secret.id).hex()
    reader = await house.allow("r", "s/mine", capabilities=("read_metadata", "list"))
    lister = await house.allow("l", "s/seen", capabilities=("list",))
    asked = ReportUsage(opaque=True)
    found: UsageReport = await ask(house, "usage.look", asked, reader)
    assert (found.total, [one.name for one in found.named]) == (3, ["s/mine"])
    assert (await ask(house, "usage.look", asked, lister)).named == ()
    for who, seen in ((reader, {"s/mine"}), (lister, {"s/seen"}), (ROOT, set(ids))):
        told = set()
        for name, id_ in ids.items():
            with suppress(NotFoundError):
                told.add((await ask(house, "usage.who", ResolveOpaqueId(opaque=id_), who)).name)
                assert name in seen
        assert told == seen


async def test_identities_are_named_to_whoever_may_list_them(house: House) -> None:
    """Users by `list` on them, tokens by `sudo` on accessors; else there is no such id."""
    users = await house.allow("u", "sys/users/*", capabilities=("list",))
    tokens = await house.allow("t", "auth/token/accessors", capabilities=("sudo", "list"))
    user, token = (ResolveOpaqueId(opaque=opaque("identity", id_).hex()) for id_ in ("u2", "acc"))
    assert (await ask(house, "usage.who", user, users)).name == "bob"
    assert (await ask(house, "usage.who", token, tokens)).name == "a token"
    for asked, by in ((token, users), (user, tokens)):
        with pytest.raises(NotFoundError):
            await ask(house, "usage.who", asked, by)


@pytest.mark.parametrize("kind", ["secret", "identity"])
async def test_an_opaque_id_is_translated_here(house: House, kind: str) -> None:
    """To the one it is of; another vault's is nobody's."""
    written = await house.write("s/a")
    assert written
    row = await house.head("s/a")
    assert row is not None
    id_ = row.id if kind == "secret" else "u2"
    found = await ask(house, "usage.who", ResolveOpaqueId(opaque=opaque(kind, id_).hex()))
    assert (found.kind, found.id, found.name) == (kind, id_, "s/a" if kind == "secret" else "bob")
    with pytest.raises(NotFoundError):
        await ask(house, "usage.who", ResolveOpaqueId(opaque="00" * 16))
