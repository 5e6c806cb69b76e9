"""Tokens: their making, looking up, renewal and end. Rules and words are OpenBao's (compat.md).

A child never outlives its parent, because whatever descends from one that expired or was revoked
does not stand (`standing`); its own `expires_at` is not cut, so that renewing the parent suffices.
"""

import re
from collections.abc import Iterable
from functools import partial
from typing import Final, Protocol

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from actors.world import World
from vault.authn import token_lifetime
from vault.authn.batch_tokens import BatchTokens
from vault.authn.bound_origin import common_networks
from vault.authn.credential_scheme import TOKEN, CredentialScheme, MintedCredential
from vault.authn.credential_validity import (
    KEY_PARENT,
    MAX_DEPTH,
    WRAPPING_PATH,
    RowLookup,
    api_key_identity,
    resolve_identity,
    token_identity,
    user_policies,
)
from vault.authn.mfa.enforcement import NO_ENFORCEMENTS, EnforcementRules, MfaRequirement
from vault.authn.revocation import EndedFamilies, Revoker, child_tokens
from vault.authn.sessions import (
    SESSION_CREATE_PATH,
    SessionLimits,
    is_session,
    session_row,
    used_at,
)
from vault.errors import AuthorizationError, ValidationError
from vault.model.identity import DEFAULT_POLICY, ROOT_POLICY, Identity, Method
from vault.model.memo import BoundedMemo
from vault.model.name import canonical_name
from vault.model.records import BATCH_ACCESSOR, TokenRow
from vault.store.store import Store
from vault.store.table import MAX_LIMIT, StoreQuery
from vault.store.tables import API_KEYS, SESSIONS, SESSIONS_LEVEL, TOKENS, USERS
from vault.store.transaction import StoreTx

BATCH_TYPE: Final = "batch"
MAX_POLICIES: Final = 64  # of one token
MAX_META: Final = 64  # entries, each at most 128 by 512 characters (as KV's custom_metadata)
MAX_META_KEY: Final = 128
MAX_META_VALUE: Final = 512
MAX_DISPLAY_NAME: Final = 256
CUSTOM_ID_LENGTH: Final = range(4, 513)  # of a text that root chose

_NOT_IN_DISPLAY_NAME: Final = re.compile(r"[^a-zA-Z0-9-]")
MAX_CACHED: Final = 8_192  # accessors whose token is remembered; 1.2 MiB (tracemalloc)


class NewToken(Struct, frozen=True, kw_only=True):
    """What is asked for. Durations in ns, 0: the default. `policies` None: the caller's.

    `role`: the token role that it is made by, which has been applied (`vault.authn.token_roles`).
    `type`: `batch`, or a service token.
    """

    policies: tuple[str, ...] | None = None
    ttl: int = 0
    explicit_max_ttl: int = 0
    period: int = 0
    num_uses: int = 0
    renewable: bool = True
    display_name: str = ""
    meta: dict[str, str] = {}
    no_parent: bool = False
    no_default_policy: bool = False
    type: str = ""
    bound_cidrs: tuple[str, ...] = ()
    role: str = ""
    id: str = ""
    path: str = "auth/token/create"


class IssuedToken(Struct, frozen=True, kw_only=True):
    """A token that was made or renewed. `text` is there at its making, and never again.

    `details`: what the audit record says of the login that made it. `requirement`: of a login that
    waits for its second factor; then there is no text, and `row` is of no token yet.
    `identity_policies`: those that its entity has, by itself and by its groups, as they are now.
    """

    row: TokenRow
    text: str = ""
    warnings: tuple[str, ...] = ()
    details: dict[str, str] = {}
    requirement: MfaRequirement | None = None
    identity_policies: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Issued(accessor={self.row.accessor!r})"


class RoleLimits(Protocol):
    """What a token role says of the tokens that are made by it."""

    @property
    def orphan(self) -> bool:
        """Whether they have no parent."""
        ...

    def choose(self, caller: Identity, new: NewToken, *, sudo: bool) -> tuple[str, ...]:
        """Their policies. Raises `ValidationError` for those that are not allowed."""
        ...


class Tokens:
    """What handlers call. The caller is authorized for the path; the rules here go beyond it."""

    def __init__(
        self,
        store: Store,
        scheme: CredentialScheme,
        revoker: Revoker,
        world: World,
        sessions: SessionLimits = SessionLimits(),  # noqa: B008  # frozen
        *,
        batch: BatchTokens | None = None,
        enforcements: EnforcementRules = NO_ENFORCEMENTS,
    ) -> None:
        self._enforcements = enforcements
        self._batch = batch or BatchTokens(store, scheme, world)
        self._sessions = sessions
        self._store = store
        self._scheme = scheme
        self._revoker = revoker
        self._world = world
        self._accessors = AccessorIndex(store)

    async def create(
        self,
        caller: Identity,
        new: NewToken,
        *,
        sudo: bool = False,
        orphan: bool = False,
        limits: RoleLimits | None = None,
        address: str = "",
    ) -> IssuedToken:
        """Make a child of the caller's credential, or an orphan.

        A token that an API key makes for its user is a session (`SessionLimits`), and so is a token
        of a browser. When the user has too many, the error is a `ConflictError`.

        `sudo`: the caller holds that capability on the path. `orphan`: asked through the path that
        makes orphans. `limits`: of the token role that it is made by. `address`: where it is asked
        from, for the list of sessions. Raises `ValidationError`, or
        `AuthorizationError` when the caller's own credential no longer stands.
        """
        if caller.is_transient:
            raise AuthorizationError(
                "credential_transient",
                "what came with a request makes no tokens, which would outlive it: log in at the "
                "auth mount first",
            )
        sudo = sudo or ROOT_POLICY in caller.policies
        if caller.credential.startswith(BATCH_ACCESSOR):
            raise ValidationError("batch_parent", "batch tokens cannot create more tokens")
        _check_request(new, sudo=sudo or (limits is not None and not new.id))
        policies = (
            choose_policies(caller, new, sudo=sudo)
            if limits is None
            else limits.choose(caller, new, sudo=sudo)
        )
        if limits is not None:
            orphan = orphan or limits.orphan
        if new.type == BATCH_TYPE:
            return await self._create_batch(caller, new, policies, orphan=orphan)
        orphan = orphan or new.no_parent
        if orphan and caller.permissions:
            raise AuthorizationError(
                "more_privileged", "an API key with permissions cannot create orphan tokens"
            )
        of_user = not orphan and caller.method is Method.API_KEY and _holds_all(caller, policies)
        if of_user:
            longest = self._sessions.max_ttl(new.explicit_max_ttl)
            new = replace(new, ttl=new.ttl or longest, explicit_max_ttl=longest)
        life = token_lifetime.grant_lifetime(
            ttl=new.ttl,
            explicit_max_ttl=new.explicit_max_ttl,
            period=new.period,
            root=ROOT_POLICY in policies,
        )
        minted = self._mint(new)
        row = self._row(new, minted, policies, life)

        def change(tx: StoreTx) -> TokenRow:
            if of_user:
                self._sessions.require_capacity(tx, caller.id, row.created_at)
            placed = _with_parent(tx, caller, row, orphan=orphan)
            if is_session(placed) and not of_user:
                if placed.user_id:
                    self._sessions.require_capacity(tx, placed.user_id, row.created_at)
                self._sessions.admit_browser(tx, placed.parent, row.created_at)
            if (is_session(placed) or of_user) and tx.lowest_level() >= SESSIONS_LEVEL:
                placed = replace(placed, session=True)
                tx.put(SESSIONS, session_row(placed, address, 0))
            return _insert(tx, placed)

        stored = await self._store.commit(change)
        return IssuedToken(row=stored, text=minted.text, warnings=life.warnings)

    async def exchange(self, caller: Identity, address: str) -> IssuedToken:
        """Make a browser's session of the caller's own, which a login made; that one ends.

        It takes its place: the same person, rights and last end. Raises `ValidationError` for any
        other credential, and where it could not be renewed without a second factor.
        """
        minted, accessor = self._scheme.mint_session(), self._scheme.mint_accessor()
        now, idle = self._world.now(), self._sessions.idle_at_once

        def change(tx: StoreTx) -> tuple[TokenRow, EndedFamilies]:
            own = _parent(tx, caller)
            if not own.session or own.parent or is_session(own):
                raise ValidationError(
                    "exchange_unsupported",
                    "only the token of a person's login can be exchanged for a browser's session: "
                    "leave `exchange` out",
                    field="exchange",
                )
            if token_identity(tx.get, own, now) is None:
                raise AuthorizationError("bad_token", "bad token")
            self._require_factor(tx, own)  # it may live longer than the login's token would have
            longest = self._sessions.max_ttl(own.explicit_max_ttl)
            if own.max_ttl and not own.period:  # of a period no maximum is the end
                longest = min(longest, own.max_ttl)
            row = replace(
                own,
                id=minted.id,
                accessor=accessor,
                secret_hash=minted.secret_hash,
                path=SESSION_CREATE_PATH,
                issued_at=now,
                ttl=idle,
                period=0,
                explicit_max_ttl=longest,
                max_ttl=UNSET,
                renewable=True,
            )
            last = own.created_at + longest
            row = replace(row, expires_at=min(now + idle, last))
            ended = self._revoker.end_within(tx, [own.id])
            tx.put(SESSIONS, session_row(row, address, 0))
            return _insert(tx, row), ended

        row, ended = await self._store.commit(change)
        await self._revoker.finish(ended)
        return IssuedToken(row=row, text=minted.text)

    async def _create_batch(
        self, caller: Identity, new: NewToken, policies: tuple[str, ...], *, orphan: bool
    ) -> IssuedToken:
        """A batch token: nothing of it is stored."""
        if ROOT_POLICY in policies:
            raise ValidationError("batch_root", "batch tokens cannot be root tokens")
        for name in ("num_uses", "period", "explicit_max_ttl", "id"):
            if getattr(new, name):
                raise ValidationError(
                    "batch_token_invalid", f'batch tokens cannot have "{name}" set', field=name
                )
        life = token_lifetime.grant_lifetime(ttl=new.ttl, explicit_max_ttl=0, period=0, root=False)
        draft = self._row(new, self._scheme.mint_token(), policies, life)

        def change(tx: StoreTx) -> TokenRow:
            return _with_parent(tx, caller, draft, orphan=orphan or new.no_parent)

        row, text = self._batch.mint(await self._store.commit(change))
        return IssuedToken(row=row, text=text, warnings=life.warnings)

    async def create_root(self, custom_id: str = "") -> IssuedToken:
        """Make a root token that nobody is asked for: at init, or with a text of the operator's.

        A chosen text that is a root token already stays as it is.
        """
        minted = self._mint_custom(custom_id) if custom_id else self._scheme.mint_token()
        new = NewToken(display_name="", path="auth/token/root")
        life = token_lifetime.TokenLifetime(ttl=0, period=0)
        row = replace(self._row(new, minted, (ROOT_POLICY,), life), display_name="root")

        def change(tx: StoreTx) -> TokenRow:
            old = tx.get(TOKENS, row.id)
            if old is not None and old.policies == [ROOT_POLICY] and not old.expires_at:
                return old
            return _insert(tx, row)

        return IssuedToken(row=await self._store.commit(change), text=minted.text)

    async def replace_root(self, custom_id: str) -> IssuedToken:
        """Make the chosen text the only orphan that holds root: the others end, with descendants.

        For development.
        """
        issued, after = await self.create_root(custom_id), ""

        def former(tx: StoreTx) -> tuple[list[str], str]:
            orphans = StoreQuery(
                equals={"parent": ""}, after=(after,) if after else None, limit=MAX_LIMIT
            )
            rows = tx.select(TOKENS, orphans)
            found = [r.id for r in rows if ROOT_POLICY in r.policies and r.id != issued.row.id]
            return found, rows[-1].id if len(rows) == MAX_LIMIT else ""

        while True:
            found, after = await self._store.commit(former)
            if found:
                await self._revoker.revoke_families(partial(_these, found))
            if not after:
                return issued

    async def catch_up(self) -> None:
        """See what other processes have revoked by now. Raises as `Store.catch_up`."""
        await self._store.catch_up()

    async def identity_policies(self, row: TokenRow) -> tuple[str, ...]:
        """The policies that a login's token has by its entity, in order; else none."""
        if not row.user_id or not row.mount_id:
            return ()
        found: list[str] = []

        def collect(get: RowLookup, token: TokenRow, _now: int) -> None:
            user = get(USERS, token.user_id)
            found[:] = [] if user is None else sorted(user_policies(get, user))

        await resolve_identity(self._store, collect, row, self._world.now())
        return tuple(found)

    async def find_by_text(self, text: str) -> TokenRow | None:
        """Return the standing token of a text, or None."""
        located = self._scheme.locate(text)
        batch = self._batch.find(located)
        if batch is not None:
            return batch if await self._is_valid(batch) else None
        row = await self._store.get(TOKENS, located.id) if located.kind == TOKEN else None
        right = self._scheme.matches(located, None if row is None else row.secret_hash)
        return row if right and row is not None and await self._is_valid(row) else None

    async def find_by_accessor(self, accessor: str) -> TokenRow | None:
        """Return the standing token of an accessor, or None."""
        row = await self._accessors.find_token(accessor)
        return row if row is not None and await self._is_valid(row) else None

    async def identity_of(self, accessor: str, at: int = 0) -> Identity | None:
        """Return whom the token of an accessor stands for now, or None; no use is counted.

        `at`: let it be this time instead (ns). What is stored is as it is now all the same.
        """
        row = await self._find(accessor)
        if row is None:
            return None
        now = self._world.now()
        return await resolve_identity(
            self._store, partial(token_identity, real=now), row, at or now
        )

    async def lookup(self, text: str) -> TokenRow:
        """Return the token of a text; raises `AuthorizationError` ("bad token")."""
        row = await self.find_by_text(text)
        if row is None:
            raise AuthorizationError("bad_token", "bad token")
        return row

    async def lookup_accessor(self, accessor: str) -> TokenRow:
        """Return the token of an accessor; raises `ValidationError` ("invalid accessor")."""
        row = await self.find_by_accessor(accessor)
        if row is None:
            raise ValidationError("invalid_accessor", "invalid accessor", field="accessor")
        return row

    async def lookup_self(self, caller: Identity) -> TokenRow:
        """Return the caller's own token, on its last use too. Raises `AuthorizationError`."""
        row = await self._find(caller.credential) if _by_token(caller) else None
        if row is None:
            raise AuthorizationError("bad_token", "bad token")
        return row

    async def _find(self, accessor: str) -> TokenRow | None:
        """The token of an accessor, or of what stands for that of a batch token."""
        if accessor.startswith(BATCH_ACCESSOR):
            return self._batch.find_by_accessor(accessor)
        return await self._accessors.find_token(accessor)

    async def list_accessors(self) -> list[str]:
        """Return the accessors of all tokens that are stored, in no particular order."""
        return await self._accessors.list_accessors()

    async def renew(self, row: TokenRow, increment: int = 0) -> IssuedToken:
        """Renew a token that was looked up; raises `ValidationError` when it cannot be."""
        if row.is_batch:
            raise ValidationError("batch_token", "batch tokens cannot be renewed")
        now = self._world.now()

        def change(tx: StoreTx) -> tuple[TokenRow, tuple[str, ...]]:
            current = tx.get(TOKENS, row.id)
            if current is None or token_identity(tx.get, current, now) is None:
                raise ValidationError("token_not_found", "token not found")
            self._require_factor(tx, current)
            renewed, warnings = token_lifetime.renew_lifetime(current, increment, now)
            tx.put(TOKENS, renewed)
            session = tx.get(SESSIONS, row.id) if row.session else None
            if session is not None:
                tx.put(SESSIONS, used_at(session, now))
            return renewed, warnings

        renewed, warnings = await self._store.commit(change)
        return IssuedToken(row=renewed, warnings=warnings)

    async def revoke(self, row: TokenRow) -> None:
        """End a token and all that came from it; one that is gone is no error."""
        _refuse_batch(row)
        await self._revoker.revoke_families(lambda _: [row.id])

    async def revoke_orphan(self, row: TokenRow) -> None:
        """End a token and leave its children as orphans; raises `ValidationError`."""
        _refuse_batch(row)
        now = self._world.now()

        def change(tx: StoreTx) -> list[str]:
            current = tx.get(TOKENS, row.id)
            identity = None if current is None else token_identity(tx.get, current, now)
            if identity is None:
                raise ValidationError("token_not_found", "token to revoke not found")
            if identity.permissions:
                raise AuthorizationError(
                    "more_privileged", "the children are held by the permissions of an API key"
                )
            while children := child_tokens(tx, row.id):
                for child in children:
                    tx.put(TOKENS, _without_parent(child, identity))
            return [row.id]

        await self._revoker.revoke_families(change)

    def _require_factor(self, tx: StoreTx, row: TokenRow) -> None:
        """Raise `ValidationError` where a login like the token's needs a factor by now."""
        if self._enforcements.is_lacking(tx.get, row):
            raise ValidationError(
                "second_factor_needed",
                "logins like this need a second factor by now, and none was shown for this "
                "token: show one, or log in again",
            )

    def _mint(self, new: NewToken) -> MintedCredential:
        if new.path == SESSION_CREATE_PATH:
            return self._scheme.mint_session()
        return self._mint_custom(new.id) if new.id else self._scheme.mint_token()

    def _mint_custom(self, text: str) -> MintedCredential:
        fault = None
        if text.startswith("s."):
            fault = "custom token ID cannot have the 's.' prefix"
        elif "." in text:
            fault = "custom token ID cannot have a '.' in the value"
        elif len(text) not in CUSTOM_ID_LENGTH or not all("!" <= c <= "~" for c in text):
            fault = "custom token ID must be 4 to 512 visible ASCII characters"
        located = self._scheme.locate(text)
        if fault or located.kind != TOKEN:
            raise ValidationError(
                "token_id_invalid", fault or "custom token ID cannot be an API key", field="id"
            )
        return _CustomCredential(located.id, text, located.secret_hash)

    def _row(
        self,
        new: NewToken,
        minted: MintedCredential,
        policies: tuple[str, ...],
        life: token_lifetime.TokenLifetime,
    ) -> TokenRow:
        now = self._world.now()
        return TokenRow(
            id=minted.id,
            accessor=self._scheme.mint_accessor(),
            secret_hash=minted.secret_hash,
            display_name=clean_display_name(f"token-{new.display_name}"),
            policies=list(policies),
            meta=new.meta,
            path=new.path,
            created_at=now,
            issued_at=now,
            ttl=life.ttl,
            period=life.period,
            explicit_max_ttl=new.explicit_max_ttl,
            expires_at=now + life.ttl if life.ttl else 0,
            renewable=new.renewable and life.ttl > 0,
            num_uses=new.num_uses,
            uses_left=new.num_uses,
            role=new.role or UNSET,
            bound_cidrs=list(new.bound_cidrs) or UNSET,
        )

    async def _is_valid(self, row: TokenRow) -> bool:
        return (
            await resolve_identity(self._store, token_identity, row, self._world.now()) is not None
        )


class _CustomCredential(Struct, frozen=True):
    """As a minted one, with a text that somebody chose."""

    id: str
    text: str
    secret_hash: bytes


def _refuse_batch(row: TokenRow) -> None:
    if row.is_batch:
        raise ValidationError("batch_token", "batch tokens cannot be revoked")


def clean_display_name(text: str) -> str:
    """A display name as OpenBao makes it: letters, digits and dashes, no dash at its end."""
    return _NOT_IN_DISPLAY_NAME.sub("-", text)[:MAX_DISPLAY_NAME].removesuffix("-")


def _these(ids: list[str], _tx: StoreTx) -> list[str]:
    return ids


def _by_token(caller: Identity) -> bool:
    return caller.holds_token


def _check_request(new: NewToken, *, sudo: bool) -> None:
    """Raise `ValidationError` for what is out of bounds or takes sudo."""
    require_sudo(new, is_orphan=new.no_parent, sudo=sudo)
    if new.num_uses < 0:
        raise _invalid("num_uses", "number of uses cannot be negative")
    if len(new.display_name) > MAX_DISPLAY_NAME:
        raise _invalid("display_name", f"display_name is longer than {MAX_DISPLAY_NAME} characters")
    if len(new.meta) > MAX_META or any(
        len(key) > MAX_META_KEY or len(value) > MAX_META_VALUE for key, value in new.meta.items()
    ):
        raise _invalid(
            "meta",
            f"meta may have {MAX_META} entries of {MAX_META_KEY} by {MAX_META_VALUE} characters",
        )


def require_sudo(new: NewToken, *, is_orphan: bool, sudo: bool) -> None:
    """Raise `ValidationError` for what the caller asks for himself and only sudo gives."""
    for wanted, what in (
        (is_orphan, "create orphan token"),
        (new.period > 0, "create periodic token"),
        (new.id, "specify token id"),
    ):
        if wanted and not sudo:
            raise ValidationError("sudo_required", f"root or sudo privileges required to {what}")


def choose_policies(caller: Identity, new: NewToken, *, sudo: bool) -> tuple[str, ...]:
    """Return what the new token gets: never root from one who is not, never more without sudo."""
    wanted: Iterable[str] = caller.policies if not new.policies else new.policies
    names = {canonical_name(name.strip(), "policies") for name in set(wanted)}
    if len(names) > MAX_POLICIES:
        raise _invalid("policies", f"a token has at most {MAX_POLICIES} policies")
    if ROOT_POLICY not in caller.policies:
        if not sudo and not names <= {*caller.policies, DEFAULT_POLICY}:
            raise _invalid("policies", "child policies must be subset of parent")
        if ROOT_POLICY in names:
            raise _invalid(
                "policies", "root tokens may not be created without parent token being root"
            )
    if ROOT_POLICY in names:
        return (ROOT_POLICY,)
    if new.no_default_policy:
        names.discard(DEFAULT_POLICY)  # be it named: as in OpenBao
    else:
        names.add(DEFAULT_POLICY)
    return tuple(sorted(names))


def _with_parent(tx: StoreTx, caller: Identity, row: TokenRow, *, orphan: bool) -> TokenRow:
    """Put a new token under what made it; raises unless that may have children."""
    mfa_at: int | UnsetType = UNSET
    if caller.method is Method.API_KEY:
        key = tx.get(API_KEYS, caller.credential)
        maker = None if key is None else api_key_identity(tx.get, key, row.created_at)
        parent, user_id = KEY_PARENT + caller.credential, caller.id
        ends = key is not None and key.expires_at != 0
    else:
        above = _parent(tx, caller)
        maker = token_identity(tx.get, above, row.created_at)
        parent, user_id, ends = above.id, above.user_id, above.expires_at != 0
        row = replace(row, bound_cidrs=_bound_cidrs(row, above), certificate=above.certificate)
        mfa_at = above.mfa_at
        if not orphan and _depth(tx, above) >= MAX_DEPTH:
            raise ValidationError("too_deep", f"a line of tokens is at most {MAX_DEPTH} long")
    if maker is None:  # it ended after the caller was authenticated
        raise ValidationError("no_parent", "parent token lookup failed: no parent found")
    if ends and ROOT_POLICY in row.policies and not row.expires_at:
        raise ValidationError(
            "root_expires", "expiring root tokens cannot create non-expiring root tokens"
        )
    if orphan:
        return _without_parent(row, maker)
    # What is made with sudo for somebody else must not be cut down to the maker's own policies.
    if not _holds_all(caller, row.policies):
        return replace(row, parent=parent)
    # It is for the same person: a factor that was shown for the parent was shown for it, then.
    return replace(row, parent=parent, user_id=user_id, mfa_at=mfa_at)


def _bound_cidrs(row: TokenRow, above: TokenRow) -> list[str] | UnsetType:
    """The networks of a new token: those of its role, within those of the one that makes it."""
    if not row.bound_cidrs or not above.bound_cidrs:
        return row.bound_cidrs or above.bound_cidrs
    if both := common_networks(row.bound_cidrs, above.bound_cidrs):
        return both
    raise _invalid(
        "bound_cidrs", "the networks of the role lie outside of those that the parent is bound to"
    )


def _without_parent(row: TokenRow, maker: Identity) -> TokenRow:
    """Return a token without its parent: what denied the parent something is kept in the row."""
    kept = maker.binding_policies.union(row.denied_by or ()).difference(row.policies)
    return replace(row, parent="", denied_by=sorted(kept) if kept else UNSET)


def _holds_all(caller: Identity, policies: Iterable[str]) -> bool:
    """Whether the caller holds all of these policies."""
    return ROOT_POLICY in caller.policies or {*caller.policies, DEFAULT_POLICY} >= {*policies}


def _parent(tx: StoreTx, caller: Identity) -> TokenRow:
    query = StoreQuery(equals={"accessor": caller.credential}, limit=1)
    found = tx.select(TOKENS, query) if _by_token(caller) else []
    if not found:
        raise ValidationError("no_parent", "parent token lookup failed: no parent found")
    if found[0].num_uses:
        raise ValidationError(
            "restricted_parent", "restricted use token cannot generate child tokens"
        )
    if found[0].path == WRAPPING_PATH:  # a child would have the policy that it is without
        raise ValidationError(
            "restricted_parent", "the token of a wrapped answer cannot generate child tokens"
        )
    return found[0]


def _depth(tx: StoreTx, row: TokenRow) -> int:
    """Count the tokens from the first of the line to this one."""
    depth = 1
    while (above := tx.get(TOKENS, row.parent)) is not None and depth < MAX_DEPTH:
        depth, row = depth + 1, above
    return depth


def _insert(tx: StoreTx, row: TokenRow) -> TokenRow:
    if tx.get(TOKENS, row.id) is not None:
        raise _invalid("id", "cannot create a token with a duplicate ID")
    tx.put(TOKENS, row)
    return row


def _invalid(field: str, message: str) -> ValidationError:
    return ValidationError("token_invalid", message, field=field)


class AccessorIndex:
    """Finds tokens by them; how a token stands is not asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ids: BoundedMemo[str, str] = BoundedMemo(MAX_CACHED)

    async def find_token(self, accessor: str) -> TokenRow | None:
        """The token, or None. An accessor belongs to no other one ever, so it is looked up once."""
        if not accessor:
            return None
        if (known := self._ids.get(accessor)) is not None:
            there = await self._store.get(TOKENS, known)
            return there if there is not None and there.accessor == accessor else None
        query = StoreQuery(equals={"accessor": accessor}, limit=1)
        row = next(iter(await self._store.select(TOKENS, query)), None)
        if row is not None:
            self._ids.put(accessor, row.id)
        return row

    async def list_accessors(self) -> list[str]:
        """Those of all tokens that are stored, in no particular order."""
        return await self._store.select_all(TOKENS, lambda row: row.accessor)
