"""A token of a trusted issuer as a credential: no login, no row, no lease.

The token is verified once, and what it says is kept by its digest until it ends. Each request then
asks what may have changed: whether its id or its subject was revoked, and what the entity of its
holder has now, where there is one. It is allowed no more than the issuer's ceiling.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from actors.world import World
from protocols.instant import SECOND
from vault.authn.identity_cache import IdentityCache
from vault.authn.jwt.claims import (
    BoundClaims,
    ExpectedClaims,
    check_bound_claims,
    check_claims,
    claim_text,
    has_bound_claims,
)
from vault.authn.jwt.compact import (
    Claims,
    CompactToken,
    InvalidTokenError,
    parse_claims,
    parse_token,
)
from vault.authn.jwt.digest import token_digest
from vault.authn.jwt.sources import KeySource
from vault.authn.jwt_revocation import REVOCATIONS, JTI, SUBJECT, revocation_name
from vault.model.identity import DEFAULT_POLICY, ROOT_POLICY, Identity, Method
from vault.model.operation import Origin

JWT: Final = "jwt"  # a kind of credential, as `credential_scheme.TOKEN`
MAX_VERIFIED: Final = 16_384  # tokens that are remembered; some 1 KB each
MAX_REFUSED: Final = 1024  # digests of tokens that were refused, which are not verified again
MAX_ID: Final = 512  # characters of a token's own id


class JwtGrant(Struct, frozen=True):
    """Policies of tokens with these claims."""

    claims: BoundClaims
    policies: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TrustedIssuer:
    """An issuer with its keys and rules. `lifetime`, `leeway`: seconds."""

    name: str
    issuer: str
    audiences: tuple[str, ...]
    keys: KeySource
    ceiling: tuple[str, ...]
    policies: tuple[str, ...] = ()
    grants: tuple[JwtGrant, ...] = ()
    bound: BoundClaims = BoundClaims()  # noqa: RUF009  # frozen
    algorithms: tuple[str, ...] = ()
    user_claim: str = "sub"
    mount: str = ""
    leeway: int = 30
    lifetime: int = 86_400


class VerifiedToken(Struct, frozen=True, kw_only=True):
    """What a token said once it was verified. Times in Unix ns."""

    issuer: str
    subject: str
    jti: str
    holder: str
    digest: str
    policies: tuple[str, ...]
    ceiling: tuple[str, ...]
    mount: str
    issued_at: int
    expires_at: int
