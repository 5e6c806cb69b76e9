"""Which logins need a second factor, and by which methods it may be shown.

An enforcement names logins, by auth mount, type of auth mount, entity or group, and methods: one
of them satisfies it. All that match a login must be satisfied. They are in one entry, so the rules
that judge a request find them by key.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from vault.authn.credential_validity import RowLookup, groups_of
from vault.authn.mfa.entries import ALL, ENFORCEMENTS
from vault.model.auth_mounts import MFA_MOUNT
from vault.model.records import AuthEntryRow, TokenRow, UserRow
from vault.store.tables import AUTH_ENTRIES, AUTH_MOUNTS, USERS

TOTP: Final = "totp"
WEBAUTHN: Final = "webauthn"
BUILT_IN: Final = (TOTP, WEBAUTHN)
"""Methods that are always there; their ids are their types."""
MAX_ENFORCEMENTS: Final = 64
MAX_IDS: Final = 64
CONFIGURED: Final = "configuration"
"""The name of the enforcement that the settings make; no other has it."""

Ids = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=512)], ...], Meta(max_length=64)]


class Enforcement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Logins and methods. Of `methods` one is needed; a login is named in any of the others."""

    id: str = ""
    methods: Ids = ()
    accessors: Ids = ()
    types: Ids = ()
    entities: Ids = ()
    groups: Ids = ()

    def applies_to(self, subject: "LoginSubject") -> bool:
        """Whether it is about a login."""
        return (
            subject.accessor in self.accessors
            or subject.type in self.types
            or not subject.entities.isdisjoint(self.entities)
            or not subject.groups.isdisjoint(self.groups)
        )


class LoginSubject(Struct, frozen=True, kw_only=True):
    """A login, as enforcements see it.

    `entities`: the id of its entity, and those of entities that became one with it.
    """

    accessor: str
    type: str
    entities: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()


class MfaMethod(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A method as an answer names it."""

    id: str
    type: str
    name: str = ""


class MfaRequirement(Struct, frozen=True, kw_only=True):
    """A login that waits for its second factor. `constraints`: the methods by enforcement.

    `expires_at` in Unix ns.
    """

    request_id: str
    constraints: dict[str, tuple[MfaMethod, ...]]
    expires_at: int

    def __repr__(self) -> str:
        return f"MfaRequirement(constraints={self.constraints!r})"


def login_subject(
    get: RowLookup, *, accessor: str, mount_type: str, entity: UserRow | None
) -> LoginSubject:
    """The login of an entity, with all its groups as they are stored."""
    if entity is None:
        return LoginSubject(accessor=accessor, type=mount_type)
    return LoginSubject(
        accessor=accessor,
        type=mount_type,
        entities=frozenset((entity.id, *(entity.merged_from or ()))),
        groups=frozenset(group.id for group in groups_of(get, entity)),
    )


class EnforcementRules:
    """The enforcements of the settings, and those that are stored."""

    def __init__(self, required_for: Iterable[str] = ()) -> None:
        """`required_for`: types of auth mounts whose logins need a factor of their own choice."""
        types = tuple(required_for)
        self._configured = (
            {CONFIGURED: Enforcement(id=CONFIGURED, methods=BUILT_IN, types=types)} if types else {}
        )

    @property
    def configured(self) -> Mapping[str, Enforcement]:
        """The enforcements that the settings make, by name."""
        return self._configured

    def required(self, get: RowLookup, subject: LoginSubject) -> dict[str, Enforcement]:
        """The enforcements that a login must satisfy, by name."""
        row = get(AUTH_ENTRIES, MFA_MOUNT.id, ENFORCEMENTS, ALL)
        found = {**stored_enforcements(row), **self._configured}
        return {name: one for name, one in found.items() if one.applies_to(subject)}

    def is_lacking(self, get: RowLookup, token: TokenRow) -> bool:
        """Whether a login's token was made without the factor that its login would need now."""
        if not token.mount_id or token.mfa_at:
            return False
        mount = get(AUTH_MOUNTS, token.mount_id)
        if mount is None:
            return False  # it does not stand
        entity = get(USERS, token.user_id) if token.user_id else None
        subject = login_subject(get, accessor=mount.accessor, mount_type=mount.type, entity=entity)
        return bool(self.required(get, subject))


NO_ENFORCEMENTS: Final = EnforcementRules()
"""Rules for settings without `required_for`: stored enforcements alone count."""


def stored_enforcements(row: AuthEntryRow | None) -> dict[str, Enforcement]:
    """The enforcements in the stored entry, by name."""
    return {} if row is None else decode_enforcements(row.document)


def decode_enforcements(document: Mapping[str, Any]) -> dict[str, Enforcement]:
    """The enforcements in the document of that entry, by name."""
    return {name: msgspec.convert(one, Enforcement) for name, one in document.items()}


def unsatisfied(required: Mapping[str, Enforcement], shown: Collection[str]) -> str:
    """The name of an enforcement that none of these methods satisfies; empty: all are."""
    for name, one in required.items():
        if not any(method in shown for method in one.methods):
            return name
    return ""
