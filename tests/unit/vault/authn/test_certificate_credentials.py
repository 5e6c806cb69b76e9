"""Certificates that stand for a request: what is remembered of one counts until it may be wrong."""

from typing import Any, NamedTuple

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from vault.authn.certificate_credentials import CertificateCredentials
from vault.authn.methods.cert import CertConfig
from vault.authn.methods.method import LoginResult, TokenParameters
from vault.authn.mfa.enforcement import NO_ENFORCEMENTS
from vault.model.auth_mounts import AuthMountTable
from vault.model.operation import Origin
from vault.model.records import AuthEntryRow, AuthMountRow
from vault.store.tables import AUTH_ENTRIES

HERE = Origin(ip="10.0.0.1", peer_certificate=b"a certificate")


class Validity(NamedTuple):
    """Of the certificate itself."""

    begins_at: int
    ends_at: int


class Match(NamedTuple):
    """A role that takes the certificate, by its policy."""

    policy: str
    until: int
    certificate: Validity


CERTIFICATE = Validity(begins_at=5, ends_at=10**19)


class Roles:
    """The method `cert`, whose roles are what the test says at the moment."""

    type = "cert"

    def __init__(self, until: int) -> None:
        self.policies: dict[str, str] = {}
        """By mount: the policy of the role that takes the certificate; none: it has no such one."""
        self._until = until

    async def config(self, _mount: AuthMountRow) -> CertConfig:
        """Certificates count without a login."""
        return CertConfig(tokenless=True)

    async def match(self, mount: AuthMountRow, _der: bytes, _config: CertConfig) -> Match | None:
        """What the mount says now."""
        policy = self.policies.get(mount.id)
        return None if policy is None else Match(policy, self._until, CERTIFICATE)

    def result(self, found: Match, _config: CertConfig) -> LoginResult:
        """A holder with the policy."""
        parameters = TokenParameters(policies=(found.policy,), no_default_policy=True)
        return LoginResult(
            alias="robot",
            display_name="robots",
            token=parameters,
            metadata={"common_name": "robot"},
            role="robots",
        )


class Place:
    """Two mounts that take certificates, in this order, and one of another kind."""

    def __init__(self, desk: Any) -> None:
        self.desk = desk
        self.rows = [
            AuthMountRow(
                id=f"id-{name}", path=f"{name}/", accessor=f"acc-{name}", type=kind, created_at=1,
                updated_at=1,
            )
            for name, kind in (("first", "cert"), ("second", "cert"), ("users", "userpass"))
        ]  # fmt: skip
        self.mounts = AuthMountTable(self.rows)
        self.roles = Roles(desk.world.now() + 10**12)
        method: Any = self.roles
        self.credentials = CertificateCredentials(
            desk.store, self.mounts, method, desk.world, NO_ENFORCEMENTS
        )

    async def policies(self) -> tuple[str, ...] | None:
        """What the certificate counts for; None: for nothing."""
        found = await self.credentials.identify(HERE)
        return None if found is None else found.policies

    async def write(self, mount: str) -> None:
        """Something is written of a mount."""
        row = AuthEntryRow(
            mount_id=f"id-{mount}", kind="certs", name="role", id="e", created_at=1, updated_at=1
        )
        await self.desk.store.commit(lambda tx: tx.put(AUTH_ENTRIES, row))


@pytest.fixture
def place(desk: Any) -> Place:
    """The second mount takes the certificate."""
    found = Place(desk)
    found.roles.policies = {"id-second": "old"}
    return found


async def test_a_write_of_another_mount_keeps_the_match(place: Place) -> None:
    """Of another method, or of a mount that nobody asks about a certificate that is taken."""
    place.roles.policies = {"id-first": "old"}
    assert await place.policies() == ("old",)
    place.roles.policies = {"id-first": "new"}  # without a write nobody looks
    for mount in ("users", "second"):
        await place.write(mount)
        assert await place.policies() == ("old",)
    await place.write("first")
    assert await place.policies() == ("new",)


@pytest.mark.parametrize("mount", ["first", "second"])
async def test_a_write_of_any_mount_that_was_asked_counts_at_once(place: Place, mount: str) -> None:
    """Of the one that takes it, and of one before it, which may take it now."""
    assert await place.policies() == ("old",)
    place.roles.policies = {f"id-{mount}": "new"}
    await place.write(mount)
    assert await place.policies() == ("new",)
    place.roles.policies = {}
    await place.write(mount)
    assert await place.policies() is None


async def test_nobodys_certificate_may_become_somebodys(place: Place) -> None:
    """By a role of any mount."""
    place.roles.policies = {}
    assert await place.policies() is None
    place.roles.policies = {"id-second": "new"}
    assert await place.policies() is None
    await place.write("second")
    assert await place.policies() == ("new",)


@pytest.mark.parametrize("change", ["gone", "tuned", "before"])
async def test_mounts_that_change_count_at_once(place: Place, change: str) -> None:
    """One that is gone, one that is written anew, and another one before it."""
    assert await place.policies() == ("old",)
    first, second, users = place.rows
    place.roles.policies = {"id-second": "new", "id-third": "third"}
    rows = {
        "gone": [first, users],
        "tuned": [first, replace(second, updated_at=2), users],
        "before": [replace(first, id="id-third", path="a/"), first, second, users],
    }
    place.mounts.replace(rows[change])
    expected = {"gone": None, "tuned": ("new",), "before": ("third",)}
    assert await place.policies() == expected[change]


async def test_all_may_have_been_written(place: Place) -> None:
    """As after commits of others that the change feed no longer holds."""
    assert await place.policies() == ("old",)
    place.roles.policies = {}
    await place.desk.store.invalidate_all()
    assert await place.policies() is None


async def test_lookup_self_answers_as_for_a_token(place: Place) -> None:
    """Whose it is, by which mount and role, with which policies, until the certificate ends."""
    caller = await place.credentials.identify(HERE)
    assert caller is not None
    row = place.credentials.as_token(caller)
    assert row is not None
    assert (row.display_name, row.mount_id, row.path, row.role, row.policies, row.user_id) == (
        "robots", "id-second", "auth/second/login", "robots", ["old"], "",
    )  # fmt: skip
    assert (row.created_at, row.expires_at, row.renewable) == (*CERTIFICATE, False)
    assert row.meta == {"common_name": "robot"}
    assert row.bound_cidrs is UNSET
    assert place.credentials.as_token(replace(caller, credential="cert:another")) is None
