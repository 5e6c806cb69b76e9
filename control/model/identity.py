"""Second factors, invitations, identity providers: how else people show who they are."""

from msgspec import Struct

from control.model.people import Role


class SecondFactor(Struct, frozen=True):
    """A person's authenticator (RFC 6238). `secret` is sealed; not in force until `confirmed`."""

    org: str
    name: str
    secret: bytes
    confirmed: bool
    last_step: int
    """The newest time step of which a code was taken: none is taken twice."""
    created_at: int


class NextFactor(Struct, frozen=True):
    """The authenticator that is to follow the one in force; `secret` is sealed, and not in force.

    For the credential `token` alone, which has shown the one in force.
    """

    org: str
    name: str
    secret: bytes
    token: str
    expires_at: int


class Invitation(Struct, frozen=True):
    """For one person to become a member, once. `used_at` is 0 until then."""

    org: str
    id: str
    digest: bytes
    email: str
    role: Role
    created_by: str
    created_at: int
    expires_at: int
    used_at: int
    used_by: str


def invitation_url(own: str, secret: str) -> str:
    """What somebody who is invited opens, at our origin `own`.

    The secret is in the fragment, which no browser sends: no proxy on the way has it in its log.
    """
    return f"{own}/#invitation={secret}"


class Terms(Struct, frozen=True):
    """What an organization makes of its provider's word.

    `domains`: whose verified addresses get an account by themselves, with `role`. `roles`: value of
    the claim `role_claim` → role; the highest counts, at each login. `second_factor`: the provider
    asks for one itself, so that we do not.
    """

    scopes: tuple[str, ...] = ("openid", "email", "profile")
    domains: tuple[str, ...] = ()
    role: Role = Role.VIEWER
    role_claim: str = ""
    roles: dict[str, Role] = {}
    second_factor: bool = False


class IdentityProvider(Struct, frozen=True):
    """An organization's identity provider. `client_secret` is sealed; empty for a public client."""

    org: str
    issuer: str
    client_id: str
    client_secret: bytes
    terms: Terms
    changed_at: int


class LinkedIdentity(Struct, frozen=True):
    """An account of ours by the provider's name for the person."""

    issuer: str
    subject: str
    org: str
    name: str
    created_at: int
    last_login: int


class LoginFlow(Struct, frozen=True):
    """A login on its way through a provider; `state` and `browser` are digests.

    `client`: whose address it began at. Of a program on the person's machine, which the browser is
    sent to in the end: the `port` where it listens, and its own `challenge` (RFC 7636, S256).
    """

    state: bytes
    org: str
    browser: bytes
    nonce: str
    verifier: str
    redirect: str
    invitation: str
    expires_at: int
    client: str = ""
    port: int = 0
    challenge: str = ""
