"""Whom a verified token stands for: revocations, the entity of its alias, and never root."""

from typing import Any

import pytest
from msgspec import to_builtins
from msgspec.structs import replace

from vault.authn.jwt_credentials import VerifiedToken, jwt_identity
from vault.authn.jwt_revocation import SUBJECT, TOKEN, entry_key, revocation_row
from vault.authn.mfa.enforcement import Enforcement
from vault.authn.mfa.entries import ALL, ENFORCEMENTS
from vault.model.auth_mounts import MFA_MOUNT
from vault.model.records import AuthEntryRow, EntityAliasRow, GroupRow, RecordStatus, UserRow
from vault.store.tables import AUTH_ENTRIES, ENTITY_ALIASES, GROUPS, USERS

NOW = 1_800_000_000 * 10**9
MINUTE = 60 * 10**9
VERIFIED = VerifiedToken(
    issuer="ci", subject="s", jti="j", holder="ann", digest="d", policies=("app", "default"),
    ceiling=("top", "default"), alias_key="acc:ann", path="jobs", mount="acc", verified_at=0.0,
    issued_at=NOW - MINUTE, expires_at=NOW + MINUTE,
)  # fmt: skip
ALIAS = EntityAliasRow(
    alias_key="acc:ann", id="a-1", entity_id="u-1", name="ann", mount_accessor="acc",
    mount_type="jwt", mount_path="auth/jobs/", created_at=1, updated_at=1,
)  # fmt: skip
USER = UserRow(
    id="u-1", username="Ann", name_key="ann", policies=["extra", "root"], roles=[],
    aliases=["acc:ann"], created_at=1, updated_at=1,
)  # fmt: skip


class Rows(dict[tuple[str, Any], Any]):
    """What is stored, by table and key."""

    def __call__(self, table: Any, *key: Any) -> Any:
        """As a lookup."""
        return self.get((table.name, key))


def revoked(kind: str, value: str, now: int = NOW) -> tuple[tuple[str, Any], Any]:
    """An entry for `Rows`."""
    row = revocation_row("ci", kind, value, row_id="r", now=now, expires_at=now + MINUTE)
    return (AUTH_ENTRIES.name, entry_key("ci", kind, value)), row


def with_entity(**changed: Any) -> Rows:
    """Rows with the entity of the alias."""
    return Rows(
        {
            (ENTITY_ALIASES.name, ("acc:ann",)): ALIAS,
            (USERS.name, ("u-1",)): replace(USER, **changed),
        }
    )


def test_without_an_entity() -> None:
    """It is the issuer's subject, with the issuer's policies, under its ceiling."""
    found = jwt_identity(Rows(), VERIFIED, NOW)
    assert found is not None
    assert (found.id, found.name, found.method) == ("ci:s", "ann", "jwt")
    assert (found.policies, found.ceiling) == (("app", "default"), ("top", "default"))
    assert found.is_transient
    assert not found.holds_token
    assert jwt_identity(Rows(), VERIFIED, NOW + MINUTE) is None


def test_the_entity_of_its_alias_adds_what_it_has_now_but_root() -> None:
    """Whoever has root here has it by no token of another issuer."""
    found = jwt_identity(with_entity(), VERIFIED, NOW)
    assert found is not None
    assert (found.id, found.name) == ("u-1", "Ann")
    assert found.policies == ("app", "default", "extra")


def test_an_entity_that_is_disabled_or_gone_has_no_token() -> None:
    """Its alias alone lets nobody in."""
    assert jwt_identity(with_entity(status=RecordStatus.DISABLED), VERIFIED, NOW) is None
    gone = with_entity()
    del gone[USERS.name, ("u-1",)]
    assert jwt_identity(gone, VERIFIED, NOW) is None


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        (revoked(TOKEN, "j"), False),
        (revoked(TOKEN, "other"), True),
        (revoked(SUBJECT, "s"), False),
        (revoked(SUBJECT, "other"), True),
        (revoked(SUBJECT, "s", NOW - MINUTE), False),
        (revoked(SUBJECT, "s", NOW - 2 * MINUTE), True),
    ],
)
def test_revocations(row: tuple[tuple[str, Any], Any], counts: bool) -> None:
    """Of a token by its id; of a subject what was issued up to then."""
    assert (jwt_identity(Rows([row]), VERIFIED, NOW) is not None) is counts


@pytest.mark.parametrize(
    "wanted",
    [{"types": ("jwt",)}, {"accessors": ("acc",)}, {"entities": ("u-1",)}, {"groups": ("g",)}],
)
def test_where_a_second_factor_is_needed_it_does_not_count(wanted: dict[str, Any]) -> None:
    """There is nobody to ask; and it counts where the enforcement is about others."""
    rows = with_entity(member_of={"g": ""})
    group = GroupRow(id="g", name="g", name_key="g", kind="internal", created_at=1, updated_at=1)
    rows[GROUPS.name, ("g",)] = group
    key = (AUTH_ENTRIES.name, (MFA_MOUNT.id, ENFORCEMENTS, ALL))
    for one, counts in ((wanted, False), ({"accessors": ("other",)}, True)):
        rule = to_builtins(Enforcement(methods=("totp",), **one))
        rows[key] = AuthEntryRow(
            mount_id=MFA_MOUNT.id, kind=ENFORCEMENTS, name=ALL, id="e", document={"e": rule},
            created_at=1, updated_at=1,
        )  # fmt: skip
        assert (jwt_identity(rows, VERIFIED, NOW) is not None) is counts
