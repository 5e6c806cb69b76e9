"""People, their roles and credentials."""

from enum import StrEnum
from typing import Final

from msgspec import Struct

PLATFORM: Final = "platform"
"""The organization of those who run the control plane. Its users with the role `owner` are the
platform's super-admins: they may do everything in every organization."""


class Role(StrEnum):
    """What a user may do in the own organization; each includes the ones before."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    OWNER = "owner"

    @property
    def rank(self) -> int:
        """Higher may more."""
        return _RANKS[self]

    def covers(self, other: "Role") -> bool:
        """Whether this role may whatever the other may."""
        return self.rank >= other.rank


_RANKS: Final = {role: rank for rank, role in enumerate(Role)}


class Organization(Struct, frozen=True):
    """A tenant. Nothing of it is seen from another one. Times are Unix nanoseconds everywhere."""

    id: str
    title: str
    created_at: int
    second_factor: bool = False
    """Whether whoever acts in it must have one."""


class User(Struct, frozen=True):
    """The account of a person, in the organization that is its home.

    `password` is an Argon2id hash in PHC form; empty: signs in at an identity provider only.
    """

    org: str
    name: str
    role: Role
    password: str
    disabled: bool
    created_at: int
    changed_at: int
    last_login: int
    email: str = ""


class Membership(Struct, frozen=True):
    """What the account `home/name` is in another organization, `org`."""

    org: str
    home: str
    name: str
    role: Role
    created_by: str
    created_at: int


class TokenKind(StrEnum):
    """How a credential came to be, and where alone it counts."""

    SESSION = "session"
    """Of a program that signed in: a bearer credential."""
    BROWSER = "browser"
    """Of a person at a browser: counts as that cookie alone, and goes when nobody uses it."""
    API = "api"
    HALF = "half"
    """Of somebody who knows the password, until the second factor is shown: counts for that."""


class Origin(Struct, frozen=True):
    """Where a request came from."""

    ip: str = ""
    user_agent: str = ""


class Token(Struct, frozen=True):
    """A credential of the account `org/user`; `digest` is all that is kept of its secret."""

    digest: bytes
    id: str
    org: str
    user: str
    kind: TokenKind
    label: str
    role: Role
    created_at: int
    expires_at: int
    seen_at: int = 0
    """When it was last used, to within a minute; kept of sessions in browsers."""
    ip: str = ""
    user_agent: str = ""
    acting: str = ""
    """The organization it is for, if that is not `org`."""
    proven_at: int = 0
    """When its holder last showed a password, a code or an identity provider's word."""
    factor_at: int = 0
    """When its holder last showed our second factor; 0: not in this session."""
    sid: str = ""
    """A digest of the identity provider and of its session, if it named one, that it came of."""


class Caller(Struct, frozen=True):
    """The caller and its organization, with the smaller role of account and credential."""

    org: str
    name: str
    role: Role
    token: str
    """Its id, not the credential."""
    home: str = ""
    """The account's organization, if that is another one."""
    proven_at: int = 0
    """When this person last showed who it is; of a program, never too long ago."""

    @property
    def account(self) -> tuple[str, str]:
        """Organization and name of the account."""
        return self.home or self.org, self.name

    @property
    def is_platform(self) -> bool:
        """Whether this is a super-admin."""
        return self.org == PLATFORM and self.role is Role.OWNER

    @property
    def actor(self) -> str:
        """As audit records name the caller; empty for nobody."""
        return "/".join(self.account) if self.name else ""
