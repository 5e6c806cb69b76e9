"""A token of a trusted issuer as a credential: no login, no row, no lease.

The token is verified once, and what it says is kept by its digest until it ends. Each request then
asks what may have changed: whether its id or its subject was revoked, and what the entity of its
holder has now, where there is one. It is allowed no more than the issuer's ceiling.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from msgspec import Struct

from actors.world import World
from protocols.instant import SECOND
from vault.authn.aliases import AliasMount, alias_key
from vault.authn.credential_validity import RowLookup, entity_values, user_policies
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
    InvalidTokenError,
    parse_claims,
    parse_token,
)
from vault.authn.jwt.digest import digest_of
from vault.authn.jwt.sources import REFETCH_SECONDS, REFRESH_SECONDS, KeySource
from vault.authn.jwt_revocation import (
    SUBJECT,
    TOKEN,
    JwtRevocations,
    entry_key,
    is_revoked,
)
from vault.authn.mfa.enforcement import NO_ENFORCEMENTS, EnforcementRules, login_subject
from vault.errors import AuthenticationError, ValidationError
from vault.model.identity import DEFAULT_POLICY, ROOT_POLICY, Identity, Method
from vault.model.records import RecordStatus, TokenRow
from vault.store.store import Store
from vault.store.tables import AUTH_ENTRIES, ENTITY_ALIASES, USERS

MAX_VERIFIED: Final = 16_384  # tokens that are remembered; some 1 KB each
MAX_REFUSED: Final = 4096  # digests of tokens that no key has signed
MAX_ID: Final = 512  # characters of a token's own id

CREDENTIAL: Final = "jwt:"  # of `Identity.credential`, before the digest
FindMount = Callable[[str], AliasMount | None]
"""The auth mount at a path."""


class JwtGrant(Struct, frozen=True):
    """Policies of tokens with these claims."""

    claims: BoundClaims
    policies: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TrustedIssuer:
    """An issuer with its keys and rules. `lifetime`, `leeway`: seconds.

    What every token may do to itself (the policy `default`) is within every ceiling.
    """

    name: str
    issuer: str
    audiences: tuple[str, ...]
    keys: KeySource
    ceiling: tuple[str, ...]
    policies: tuple[str, ...] = ()
    grants: tuple[JwtGrant, ...] = ()
    bound: BoundClaims = field(default_factory=BoundClaims)
    algorithms: tuple[str, ...] = ()
    user_claim: str = "sub"
    mount: str = ""
    leeway: int = 30
    lifetime: int = 86_400

    def expected(self) -> ExpectedClaims:
        """What its tokens have to say."""
        return ExpectedClaims(
            issuer=self.issuer,
            audiences=self.audiences,
            leeway=self.leeway,
            lifetime=self.lifetime,
        )


class VerifiedToken(Struct, frozen=True, kw_only=True):
    """What a token said once it was verified. Times in Unix ns.

    `jti` empty: it has no id, and is revoked by its subject alone. `path`: of its issuer's auth
    mount, `mount` the accessor of that; empty where there is none, as `alias_key` is then.
    `verified_at`: monotonic.
    """

    issuer: str
    subject: str
    jti: str
    holder: str
    digest: str
    policies: tuple[str, ...]
    ceiling: tuple[str, ...]
    alias_key: str
    path: str
    mount: str
    mount_type: str = "jwt"
    verified_at: float
    issued_at: int
    expires_at: int


class JwtCredentials:
    """Tokens of the trusted issuers, in one process."""

    def __init__(
        self,
        store: Store,
        issuers: Sequence[TrustedIssuer],
        find_mount: FindMount,
        revocations: JwtRevocations,
        world: World,
        *,
        enforcements: EnforcementRules = NO_ENFORCEMENTS,
    ) -> None:
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._find_mount = find_mount
        self._revocations = revocations
        self._store = store
        self._world = world
        self._identities: IdentityCache[VerifiedToken] = IdentityCache(
            store, partial(jwt_identity, enforcements=enforcements)
        )
        self._verified: dict[str, VerifiedToken] = {}
        self._refused: dict[str, float] = {}

    @property
    def issuers(self) -> tuple[str, ...]:
        """The names of the issuers."""
        return tuple(issuer.name for issuer in self._issuers.values())

    def own(self, caller: Identity) -> VerifiedToken:
        """The token that a caller came with. Raises `AuthenticationError`."""
        token = self._verified.get(caller.credential.removeprefix(CREDENTIAL))
        if token is None:
            raise AuthenticationError("unauthenticated", "permission denied")
        return token

    def as_token(self, caller: Identity) -> TokenRow:
        """The token that a caller came with, as one that was made here. Raises as `own`."""
        token = self.own(caller)
        return TokenRow(
            id=caller.credential,
            accessor=caller.credential,
            secret_hash=b"",
            display_name=f"{token.issuer}-{caller.name}",
            policies=list(caller.policies),
            meta={"issuer": token.issuer, "subject": token.subject},
            path=f"auth/jwt/{token.issuer}",
            user_id="" if caller.id == f"{token.issuer}:{token.subject}" else caller.id,
            created_at=token.issued_at,
            issued_at=token.issued_at,
            ttl=token.expires_at - token.issued_at,
            expires_at=token.expires_at,
            renewable=False,
        )

    async def revoke_own(self, caller: Identity) -> None:
        """Revoke the token that a caller came with. Raises as `own`, and `ValidationError`."""
        token = self.own(caller)
        if not token.jti:
            raise ValidationError(
                "token_without_id",
                "this token has no id (jti), so it cannot be revoked alone: it ends by itself, or "
                "with a revocation of its subject",
            )
        await self._revocations.revoke(token.issuer, token_id=token.jti)

    async def identify(self, text: str) -> Identity | None:
        """The holder of a token; None where it does not count.

        Raises `UnavailableError` where its issuer's keys would have to be asked for and cannot be.
        """
        digest, now = digest_of(text), self._world.now()
        token = self._verified.get(digest)
        if token is not None and not self._is_current(token):
            token = None
        if token is None:
            if self._refused.get(digest, 0.0) > self._world.monotonic():
                return None
            try:
                token = await self._verify(text, digest, now)
            except InvalidTokenError:
                return None
            self._remember(token)
        return await self._identities.resolve(digest, token, now, self._store.change_token)

    async def _verify(self, text: str, digest: str, now: int) -> VerifiedToken:
        compact = parse_token(text)
        claims = parse_claims(compact.payload)
        issuer = self._issuers.get(str(claims.get("iss")))
        if issuer is None:
            raise InvalidTokenError("its issuer is not trusted")
        if issuer.algorithms and compact.algorithm not in issuer.algorithms:
            raise InvalidTokenError("its algorithm is not one of the issuer's")
        try:
            await issuer.keys.verify(compact)
        except InvalidTokenError:
            self._refuse(digest)
            raise
        return self._accepted(issuer, claims, digest, now)

    def _accepted(
        self, issuer: TrustedIssuer, claims: Claims, digest: str, now: int
    ) -> VerifiedToken:
        end = check_claims(claims, issuer.expected(), now // SECOND)
        check_bound_claims(claims, issuer.bound)
        subject, jti = claim_text(claims, "sub", pointer=False), claims.get("jti", "")
        if not isinstance(jti, str) or len(jti) > MAX_ID:
            raise InvalidTokenError("its id (jti) is no text, or too long")
        holder = claim_text(claims, issuer.user_claim)
        policies = {*issuer.policies, DEFAULT_POLICY}
        for grant in issuer.grants:
            if has_bound_claims(claims, grant.claims):
                policies.update(grant.policies)
        mount = self._find_mount(issuer.mount) if issuer.mount else None
        if issuer.mount and mount is None:  # whose entity denies something, or is disabled
            raise InvalidTokenError("the auth mount of its issuer is not there")
        try:
            key = alias_key(mount, holder) if mount is not None else ""
        except ValidationError:
            raise InvalidTokenError("the claim that names its holder cannot be an alias") from None
        begun = claims["iat"] if "iat" in claims else claims["nbf"]
        return VerifiedToken(
            issuer=issuer.name,
            subject=subject,
            jti=jti,
            holder=holder,
            digest=digest,
            policies=tuple(sorted(policies)),
            ceiling=(*issuer.ceiling, DEFAULT_POLICY),
            alias_key=key,
            path=issuer.mount,
            mount="" if mount is None else mount.accessor,
            mount_type="jwt" if mount is None else mount.type,
            verified_at=self._world.monotonic(),
            issued_at=int(begun) * SECOND,
            expires_at=end * SECOND,
        )

    def _is_current(self, token: VerifiedToken) -> bool:
        """Whether keys and mount are those of now: a key that is withdrawn ends its tokens."""
        if self._world.monotonic() - token.verified_at >= REFRESH_SECONDS:
            return False
        mount = self._find_mount(token.path) if token.path else None
        return token.mount == ("" if mount is None else mount.accessor)

    def _remember(self, token: VerifiedToken) -> None:
        if len(self._verified) >= MAX_VERIFIED:
            del self._verified[next(iter(self._verified))]
        self._verified[token.digest] = token

    def _refuse(self, digest: str) -> None:
        """A signature that no known key made is not looked at again until keys can be others."""
        if len(self._refused) >= MAX_REFUSED:
            del self._refused[next(iter(self._refused))]
        self._refused[digest] = self._world.monotonic() + REFETCH_SECONDS


def lifetimes_of(issuers: Sequence[TrustedIssuer]) -> dict[str, int]:
    """How long a revocation of each issuer has to last, by its name (ns)."""
    return {each.name: (each.lifetime + each.leeway) * SECOND for each in issuers}


def jwt_identity(
    get: RowLookup,
    row: VerifiedToken,
    now: int,
    real: int | None = None,  # noqa: ARG001  # the signature of an `IdentityRule`
    enforcements: EnforcementRules = NO_ENFORCEMENTS,
) -> Identity | None:
    """Return whom a verified token stands for; None when it does not stand (any more).

    The entity of its alias, where there is one, adds what it has now; one that is disabled or gone
    has no token that counts. Nobody is root by a token of another issuer.
    """
    if now >= row.expires_at:
        return None
    token = get(AUTH_ENTRIES, *entry_key(row.issuer, TOKEN, row.jti)) if row.jti else None
    subject = get(AUTH_ENTRIES, *entry_key(row.issuer, SUBJECT, row.subject))
    if is_revoked(token, subject, row.issued_at):
        return None
    policies, entity = set(row.policies), None
    if row.alias_key:
        alias = get(ENTITY_ALIASES, row.alias_key)
        if alias is not None:
            entity = get(USERS, alias.entity_id)
            if entity is None or entity.status != RecordStatus.ACTIVE:
                return None
            policies |= user_policies(get, entity)
    login = login_subject(get, accessor=row.mount, mount_type=row.mount_type, entity=entity)
    if enforcements.required(get, login):
        return None  # a second factor cannot come with it: log in at the mount
    policies.discard(ROOT_POLICY)
    return Identity(
        id=f"{row.issuer}:{row.subject}" if entity is None else entity.id,
        name=row.holder if entity is None else entity.username,
        method=Method.JWT,
        policies=tuple(sorted(policies)),
        credential=f"{CREDENTIAL}{row.digest}",
        ceiling=row.ceiling,
        entity=() if entity is None else entity_values(get, entity),
    )
