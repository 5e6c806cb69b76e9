"""What login methods ask for: the same work whether or not there is such a name."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from argon2 import PasswordHasher

from actors.world import SystemWorld
from vault.authn.bound_origin import are_within, is_within, parse_cidrs
from vault.authn.methods.approle import AppRole
from vault.authn.methods.method import Entry, LoginMethod, LoginRefusedError, LoginRequest
from vault.authn.methods.passwords import PasswordHashes
from vault.authn.methods.userpass import Userpass
from vault.crypto.keyring import Keyring
from vault.errors import ValidationError
from vault.model.operation import Origin
from vault.model.records import AuthMountRow
from vault.seal.bound_keys import PepperedScheme

HERE = Origin(ip="10.0.0.1")
MOUNT = AuthMountRow(id="m", path="x/", accessor="a", type="x", created_at=1, updated_at=1)


class CountedEntries:
    """Entries by kind and name; each look-up is on the list."""

    def __init__(self, found: dict[tuple[str, str], dict[str, Any]]) -> None:
        self.found = found
        self.asked: list[str] = []

    async def get(self, _mount: str, kind: str, name: str) -> Entry | None:
        """Counted."""
        self.asked.append(kind)
        document = self.found.get((kind, name))
        return None if document is None else Entry(name=name, id=name, document=document)

    async def list_names(self, *_: object) -> list[str]:
        """None."""
        return []

    def transact(self, _mount: str, _change: Callable[[Any], Any]) -> Awaitable[Any]:
        """Nothing is written."""
        raise AssertionError


class CountedHasher(PasswordHasher):
    """Cheap, and counts."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified: list[str] = []

    def verify(self, hash: Any, password: Any) -> Any:  # noqa: A002  # argon2's signature
        """Counted."""
        self.verified.append(str(hash).rsplit("$", 2)[0])
        return super().verify(hash, password)


async def refused(method: LoginMethod, path: str, **fields: str) -> LoginRefusedError:
    """What a login is answered."""
    with pytest.raises(LoginRefusedError) as error:
        await method.login(LoginRequest(mount=MOUNT, path=path, fields=fields, origin=HERE))
    return error.value


async def test_a_name_that_is_not_there_costs_what_a_wrong_password_does() -> None:
    """As many look-ups, one hash of the same cost, the same words."""
    hasher = CountedHasher()
    entries = CountedEntries({("user", "ann"): {"password_hash": hasher.hash("right")}})
    method = Userpass(entries, PasswordHashes(SystemWorld(), hasher))
    told, work = [], []
    for name in ("ann", "nobody"):
        entries.asked.clear()
        hasher.verified.clear()
        error = await refused(method, f"login/{name}", password="wrong")
        told.append((error.code, error.message, error.vault_status, error.vault_message))
        work.append((list(entries.asked), list(hasher.verified)))
    assert told[0] == told[1]
    assert work[0] == work[1]
    assert len(work[0][1]) == 1


async def test_a_role_that_is_not_there_costs_what_a_wrong_secret_id_does() -> None:
    """As many look-ups, the same words."""
    scheme = PepperedScheme(Keyring.create(1, org="o", vault="v").pepper)
    role = {"role_id": "known", "key": "k"}
    entries = CountedEntries({("role-id", "known"): {"role": "web"}, ("role", "web"): role})
    method = AppRole(entries, scheme, SystemWorld(), bytes)
    told, work = [], []
    for role_id in ("known", "unknown"):
        entries.asked.clear()
        error = await refused(method, "login", role_id=role_id, secret_id="wrong")
        told.append((error.code, error.message, error.vault_status, error.vault_message))
        work.append(list(entries.asked))
    assert told[0] == told[1]
    assert work[0] == work[1] == ["role-id", "role", "secret-id"]


@pytest.mark.parametrize(
    ("ip", "inside"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("11.0.0.1", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("", False),
        ("unix", False),
    ],
)
def test_addresses_and_networks(ip: str, inside: bool) -> None:
    """Of both families; what is no address lies nowhere."""
    networks = parse_cidrs(["10.9.9.9/8", "2001:db8::/32"], "field")
    assert networks == ("10.0.0.0/8", "2001:db8::/32")
    assert is_within(ip, networks) is inside


def test_networks_within_networks() -> None:
    """A subnet is; one of another family is not; nonsense is refused."""
    assert are_within(["10.1.0.0/16"], ["10.0.0.0/8"])
    assert not are_within(["10.0.0.0/7"], ["10.0.0.0/8"])
    assert not are_within(["::/0"], ["0.0.0.0/0"])
    with pytest.raises(ValidationError, match="networks"):
        parse_cidrs(["nonsense"], "field")
