"""A client certificate as a credential: no login, no row, no lease.

A `cert` mount that is told so (`tokenless`) takes a request that shows no token, on a connection
whose certificate one of its roles takes. Which role that is is remembered by the certificate's
digest, for as long as nothing was written of the mounts that were looked at for it (their settings,
a role, a list of revoked certificates), and never beyond what OCSP said or the certificate's end.
Each request then asks what may have changed: what the entity of its holder has now, where there is
one.

A browser shows a certificate for whichever page asks. So what a browser sends needs a token.
"""

from functools import partial
from typing import Final, TypeAlias

from msgspec import UNSET, Struct

from actors.world import World
from protocols.instant import SECOND
from vault.authn.bound_origin import certificate_digest, is_within
from vault.authn.identity_cache import IdentityCache
from vault.authn.inline_logins import LoginHolder, holder_identity, holder_of
from vault.authn.methods.cert import CertMethod
from vault.authn.methods.method import LoginRefusedError, LoginResult
from vault.authn.mfa.enforcement import EnforcementRules
from vault.errors import UnavailableError, ValidationError
from vault.model.auth_mounts import AUTH, AuthMountTable
from vault.model.identity import Identity, Method
from vault.model.operation import Origin
from vault.model.records import AuthMountRow, TokenRow
from vault.store.store import Store
from vault.store.tables import AUTH_ENTRIES

MAX_MATCHES: Final = 4096  # certificates that are remembered; some 1 KB each
MAX_REFUSED: Final = 60 * SECOND  # that one is known to be of no role
CREDENTIAL: Final = "cert:"  # of `Identity.credential`, before the digest


_Seen: TypeAlias = tuple[tuple[AuthMountRow, int], ...]
"""Mounts that take certificates, and how often the entries of each were written."""


class _Match(Struct, frozen=True):
    """Whose a certificate is; no holder: nobody's.

    `seen`: the mounts that say so, as they were: all of them, or those up to the one that takes it.
    `login`: what a login there would come to; `begins_at`, `ends_at`: of the certificate, Unix ns.
    """

    seen: _Seen
    until: int
    holder: LoginHolder | None = None
    login: LoginResult | None = None
    begins_at: int = 0
    ends_at: int = 0

    @property
    def networks(self) -> tuple[str, ...]:
        """From where it counts; none: from anywhere."""
        return () if self.login is None else self.login.token.bound_cidrs

    def is_valid(self, seen: _Seen, now: int) -> bool:
        """Whether it is still so: no mount was written that has a say in it."""
        looked_at = seen if self.holder is None else seen[: len(self.seen)]
        return self.seen == looked_at and now < self.until


class CertificateCredentials:
    """Client certificates as credentials. What it remembers is that of one process."""

    def __init__(
        self,
        store: Store,
        mounts: AuthMountTable,
        method: CertMethod,
        world: World,
        enforcements: EnforcementRules,
    ) -> None:
        self._store = store
        self._mounts = mounts
        self._method = method
        self._world = world
        self._matches: dict[str, _Match] = {}
        self._identities: IdentityCache[LoginHolder] = IdentityCache(
            store, partial(holder_identity, enforcements)
        )

    async def identify(self, origin: Origin) -> Identity | None:
        """The holder of a connection's certificate; None where it does not count.

        Raises `UnavailableError` (`ocsp_unavailable`), and as `Store.get`.
        """
        der = origin.peer_certificate
        if der is None or origin.browser or origin.by_browser:
            return None
        mounts = [row for row in self._mounts.list_mounts() if row.type == self._method.type]
        if not mounts:
            return None
        digest, now = certificate_digest(origin), self._world.now()
        match, seen = self._matches.get(digest), self._seen(mounts)
        if match is None or not match.is_valid(seen, now):
            match = await self._match(seen, der, digest)
            self._remember(digest, match)
        if match.holder is None or (match.networks and not is_within(origin.ip, match.networks)):
            return None
        token = self._store.change_token
        try:
            return await self._identities.resolve(digest, match.holder, now, token)
        except LoginRefusedError:
            return None  # a second factor cannot come with it: log in at the mount

    def as_token(self, caller: Identity) -> TokenRow | None:
        """The certificate that a caller came with, as a token of a login; None: with none.

        It has the policies of the role. What the entity adds is the rest of the caller's.
        """
        match = self._matches.get(caller.credential.removeprefix(CREDENTIAL))
        if match is None or match.holder is None or match.login is None:
            return None
        mount, _ = match.seen[-1]
        holder, login = match.holder.identity, match.login
        return TokenRow(
            id=caller.credential,
            accessor=caller.credential,
            secret_hash=b"",
            display_name=holder.name,
            user_id="" if caller.id == holder.id else caller.id,
            policies=list(holder.policies),
            meta=dict(login.metadata),
            path=f"{AUTH}{mount.path}login",
            created_at=match.begins_at,
            issued_at=match.begins_at,
            ttl=match.ends_at - match.begins_at,
            expires_at=match.ends_at,
            renewable=False,
            mount_id=mount.id,
            role=login.role,
            bound_cidrs=list(login.token.bound_cidrs) or UNSET,
        )

    def _seen(self, mounts: list[AuthMountRow]) -> _Seen:
        """What changes when anything that decides here may have been written.

        To be called before that is read: what is written meanwhile is then looked at again.
        """
        count = self._store.count_transactions
        return tuple((mount, count(AUTH_ENTRIES, mount.id)) for mount in mounts)

    async def _match(self, seen: _Seen, der: bytes, digest: str) -> _Match:
        unknown: UnavailableError | None = None
        for number, (mount, _) in enumerate(seen):
            config = await self._method.config(mount)
            if not config.tokenless:
                continue
            try:
                found = await self._method.match(mount, der, config)
            except UnavailableError as error:
                unknown = error
                continue
            if found is None:
                continue
            result = self._method.result(found, config)
            identity = Identity(
                id=f"{mount.accessor}:{result.alias}",
                name=result.display_name,
                method=Method.CERTIFICATE,
                credential=f"{CREDENTIAL}{digest}",
            )
            try:
                holder = holder_of(mount, result, identity)
            except (LoginRefusedError, ValidationError):
                continue
            certificate = found.certificate
            return _Match(
                seen[: number + 1],
                found.until,
                holder,
                result,
                certificate.begins_at,
                certificate.ends_at,
            )
        if unknown is not None:
            raise unknown
        return _Match(seen, self._world.now() + MAX_REFUSED)

    def _remember(self, digest: str, match: _Match) -> None:
        self._matches.pop(digest, None)
        if len(self._matches) >= MAX_MATCHES:
            del self._matches[next(iter(self._matches))]
        self._matches[digest] = match
