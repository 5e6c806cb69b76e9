"""Who is asking: what a credential was turned into, and what it may at most do."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from msgspec import Struct

ROOT_POLICY: Final = "root"  # allows everything; built in, cannot be written or deleted
DEFAULT_POLICY: Final = "default"  # what every token may do to itself
WRAPPING_POLICY: Final = "response-wrapping"
"""What the token of a wrapped answer is said to have: it unwraps that, and may nothing else."""
ROTATION_POLICY: Final = "service-rotation"  # what the rotation of secrets may do
SERVICE_POLICIES: Final = {"rotation": ROTATION_POLICY}
"""The own policy of each service that policies can restrict; the others have `root`."""
_SERVICE: Final = "service:"


class Method(StrEnum):
    """How the caller authenticated; a policy condition can ask for it."""

    TOKEN = "token"
    API_KEY = "api_key"
    APPROLE = "approle"
    USERPASS = "userpass"
    JWT = "jwt"
    OIDC = "oidc"
    KUBERNETES = "kubernetes"
    LDAP = "ldap"
    SAML = "saml"
    CERTIFICATE = "certificate"
    SERVICE = "service"  # our own background work
    ANONYMOUS = "anonymous"


class Permission(Struct, frozen=True, forbid_unknown_fields=True):
    """What an API key is cut down to: these capabilities on these path patterns."""

    capabilities: tuple[str, ...]
    paths: tuple[str, ...]


class Identity(Struct, frozen=True, kw_only=True):
    """An authenticated caller. `permissions` empty means: not cut down below the policies.

    `denied_by`: policies of whoever made the credential that it does not hold itself. Their
    denials count, their allowances do not. `line`: where the line of credentials begins that this
    one was made by; empty: with `id`. `mount`: the id of the auth mount that its token was made at
    by a login, or an ancestor of it; empty: at none. `entity`: what identity templates stand for,
    beside id and name. `session`: the id of the token of the login that is used with it, whose
    idle time begins anew; empty: none. `ceiling`: policies without which nothing is allowed; empty:
    none bound it. Their denials bind too, and they allow nothing by themselves. `mfa_at`: when a
    second factor was shown for the credential last (Unix ns; 0: never).
    """

    id: str
    name: str
    method: Method
    policies: tuple[str, ...] = ()
    permissions: tuple[Permission, ...] = ()
    denied_by: tuple[str, ...] = ()
    credential: str = ""  # the accessor of the token or the id of the key: never the secret
    mfa_at: int = 0
    line: str = ""
    mount: str = ""
    entity: tuple[tuple[str, str], ...] = ()
    session: str = ""
    ceiling: tuple[str, ...] = ()

    @property
    def holds_token(self) -> bool:
        """Whether `credential` is the accessor of a token that is stored."""
        return self.method is Method.TOKEN or bool(self.mount)

    @property
    def mfa(self) -> bool:
        """Whether a second factor was shown for the credential, however long ago."""
        return self.mfa_at > 0

    @property
    def is_transient(self) -> bool:
        """Whether nothing is stored of its credential: it came with the request."""
        return self.method in _LOGINS and not self.mount

    @property
    def first(self) -> str:
        """The user, or the first token, of the line: one key for all that come from it."""
        return self.line or self.id

    @property
    def binding_policies(self) -> frozenset[str]:
        """The names of all policies whose denials count for the caller; none for root."""
        own = () if ROOT_POLICY in self.policies else (*self.policies, *self.denied_by)
        return frozenset((*own, *self.ceiling))


_LOGINS: Final = frozenset(Method) - {
    Method.TOKEN, Method.API_KEY, Method.SERVICE, Method.ANONYMOUS,
}  # fmt: skip

ANONYMOUS: Final = Identity(id="anonymous", name="anonymous", method=Method.ANONYMOUS)
OPERATOR: Final = Identity(
    id=f"{_SERVICE}operator", name=f"{_SERVICE}operator", method=Method.ANONYMOUS
)
"""An unknown holder of shares of the root key, without policies."""


def service_identity(name: str, added: Iterable[str] = ()) -> Identity:
    """Who a piece of the agent's own background work is in decisions and records.

    `added`: more policies of a service that policies can restrict; `root` would lift what they
    deny, and is left out.
    """
    own = SERVICE_POLICIES.get(name)
    more = dict.fromkeys(policy for policy in added if policy != ROOT_POLICY)
    return Identity(
        id=f"{_SERVICE}{name}",
        name=f"{_SERVICE}{name}",
        method=Method.SERVICE,
        policies=(ROOT_POLICY,) if own is None else tuple(dict.fromkeys((own, *more))),
    )
