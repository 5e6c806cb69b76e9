"""Logins: what all methods have in common, from a mount's path to the token's row.

`verify` finds out who it is: lockout, places for waiting logins, the source's breaker, the method.
`issue` makes the token, in one transaction with all that must still hold then: the lockout, a
one-time secret that is used up, the entity. So of any number of logins at once, on any number of
agents, no more get through than one after the other.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import trio
from msgspec import UNSET
from msgspec.structs import replace

from actors.breaker import Breaker
from actors.errors import CircuitOpen
from actors.world import World
from protocols.client_network import client_network
from vault.authn import token_lifetime
from vault.authn.batch_tokens import BatchTokens
from vault.authn.bound_origin import parse_cidrs
from vault.authn.credential_scheme import CredentialScheme
from vault.authn.credential_validity import LOGIN_METHODS
from vault.authn.lockout import DURATION, FAILURES, RESET
from vault.authn.methods.method import (
    EntryTx,
    IdentityDirectory,
    LoginMethod,
    LoginRefusedError,
    LoginRequest,
    LoginResult,
    LoginStep,
    LoginTx,
    TokenParameters,
    TokenType,
)
from vault.authn.mfa.login_factors import Admission, LoginDraft, LoginFactors
from vault.authn.mfa.proof import Proof
from vault.authn.revocation import EndedFamilies
from vault.authn.sessions import SessionOpener
from vault.authn.tokens import MAX_POLICIES, IssuedToken, clean_display_name
from vault.errors import (
    NotFoundError,
    UnavailableError,
    ValidationError,
)
from vault.model.auth_mounts import AUTH, AuthMountTable
from vault.model.identity import DEFAULT_POLICY, ROOT_POLICY, Identity
from vault.model.name import canonical_name
from vault.model.operation import Origin
from vault.model.records import AuthMountRow, TokenRow
from vault.store.tables import TOKENS

T = TypeVar("T")

METHOD_OFF: Final = "the method of this auth mount is not one of authentication.methods"
LOCKOUT: Final = ".lockout"  # a kind of entries that no method can name
SOURCE_UNAVAILABLE: Final = "source_unavailable"
LOGIN_TIMEOUT: Final = 30.0  # seconds that a method may take, its source included
MAX_LOGINS: Final = 64  # of a mount at a time, in this process
MAX_LOGINS_OF_ADDRESS: Final = 32  # of these
COOLDOWN: Final = 10.0  # seconds that a source which does not answer is left alone


@dataclass(frozen=True, kw_only=True)
class VerifiedLogin(LoginStep):
    """Who logs in, by the word of the method; nothing is stored of it yet."""

    mount: AuthMountRow
    path: str
    result: LoginResult
    origin: Origin
    lockout_name: str
    factors: Proof | None = None  # that came with the login; None: it asks which it needs


class LoginStore(Protocol):
    """The transaction of a login."""

    def transact_rows(
        self, mount_id: str, change: Callable[[EntryTx, LoginTx], T], *, max_encryptions: int = 0
    ) -> Awaitable[T]:
        """Run `change` over the entries of a mount and the rows of other tables."""
        ...

    async def get(self, mount_id: str, kind: str, name: str) -> Any:
        """As `EntryReader.get`."""
        ...


@dataclass(frozen=True, kw_only=True)
class LoginParts:
    """What logins are made with."""

    store: LoginStore
    mounts: AuthMountTable
    methods: Mapping[str, LoginMethod]
    directory: IdentityDirectory
    scheme: CredentialScheme
    batch: BatchTokens
    world: World
    factors: LoginFactors
    sessions: SessionOpener


class Logins:
    """Of one process. Places and breakers are its own; what is counted is stored."""

    def __init__(self, parts: LoginParts) -> None:
        self._parts = parts
        self._breakers: dict[str, Breaker] = {}
        self._waiting: dict[str, dict[str, int]] = {}  # by mount and address

    def find_mount(self, path: str) -> tuple[AuthMountRow, LoginMethod, str]:
        """The mount that a path below `auth/` lies in, its method, and the rest of the path.

        Raises `NotFoundError` (`no_handler`).
        """
        mount = self._parts.mounts.find_for_path(path)
        method = None if mount is None else self._parts.methods.get(mount.type)
        if mount is None or method is None:
            raise NotFoundError(
                "no_handler",
                "no handler for this route. route entry not found."
                if mount is None
                else METHOD_OFF,
            )
        return mount, method, path[len(mount.path) :]

    def list_mounts(self) -> list[AuthMountRow]:
        """The auth mounts in path order."""
        return self._parts.mounts.list_mounts()

    async def is_locked(self, mount: AuthMountRow, name: str) -> bool:
        """Whether a name is locked at a mount now."""
        held = await self._parts.store.get(mount.id, LOCKOUT, name)
        return _has_lockout(mount) and _is_locked(mount, held, self._parts.world.now())

    async def verify(
        self,
        path: str,
        fields: Mapping[str, Any],
        origin: Origin,
        factors: Proof | None = None,
    ) -> VerifiedLogin:
        """Who logs in at a path below `auth/`; `factors` came with it, and are looked at later.

        Raises `LoginRefusedError`, `NotFoundError` for no such mount, `ValidationError`, and
        `UnavailableError` (`source_unavailable`, `logins_full`).
        """
        mount, method, rest = self.find_mount(path)
        request = LoginRequest(mount=mount, path=rest, fields=fields, origin=origin)
        name = method.lockout_name(request) if _has_lockout(mount) else ""
        if name and _is_locked(
            mount, await self._parts.store.get(mount.id, LOCKOUT, name), self._parts.world.now()
        ):
            raise _locked()
        try:
            with self._place(mount, origin):
                result = await self._ask(mount, lambda: method.login(request))
        except LoginRefusedError as refused:
            await self._count_failure(mount, name or refused.counts_for)
            raise
        return VerifiedLogin(
            identity=Identity(
                id=f"{mount.accessor}:{result.alias}",
                name=_display_name(mount, result),
                method=LOGIN_METHODS[mount.type],
                mount=mount.id,
            ),
            mount=mount,
            path=f"{AUTH}{mount.path}{rest}",
            result=result,
            origin=origin,
            lockout_name=name,
            factors=factors,
        )

    async def issue(self, login: VerifiedLogin) -> IssuedToken:
        """The token of a login, or what it waits for.

        A person's token is a session, for which older ones may have to end. Raises
        `LoginRefusedError` where the login does not hold any more, or its factors are wrong.
        """
        mount, result = login.mount, login.result
        is_batch = token_type(mount, result.token.type) == TokenType.BATCH
        if is_batch:
            _check_batch(result.token)
        draft, warnings = self._draft(login, is_batch=is_batch)
        if is_batch:
            # Its time is cut to them already, and nobody renews it.
            draft = replace(draft, period=0, explicit_max_ttl=0)
        minted = self._parts.scheme.mint_token()
        draft = replace(
            draft,
            id=minted.id,
            accessor=self._parts.scheme.mint_accessor(),
            secret_hash=minted.secret_hash,
        )

        request_id = self._parts.factors.new_request_id()

        def change(
            entries: EntryTx, rows: LoginTx
        ) -> tuple[TokenRow, Admission, EndedFamilies | None]:
            _use_up(login, entries)
            user_id = (
                self._parts.directory.resolve(rows, mount, result, entries.now)
                if result.alias
                else ""
            )
            row, ended = replace(draft, user_id=user_id), None
            admission = self._parts.factors.admit(
                entries,
                rows,
                LoginDraft(
                    mount=mount,
                    row=replace(row, id="", accessor="", secret_hash=b""),
                    is_batch=is_batch,
                    address=login.origin.ip,
                    warnings=warnings,
                    details=result.details,
                ),
                request_id=request_id,
                proof=login.factors,
            )
            if admission.is_refused or admission.requirement is not None:
                return row, admission, None
            if admission.mfa_at:
                row = replace(row, mfa_at=admission.mfa_at)
            if row.session:
                row, ended = self._parts.sessions.open(rows.rows, row, login.origin.ip, entries.now)
            if not is_batch:
                rows.put(TOKENS, row)
            return row, admission, ended

        row, admission, ended = await self._parts.store.transact_rows(mount.id, change)
        text = minted.text
        if admission.is_refused:
            raise _factor_refused()
        if admission.requirement is not None:
            return IssuedToken(
                row=replace(row, id="", accessor="", secret_hash=b""),
                warnings=warnings,
                details=dict(result.details),
                requirement=admission.requirement,
            )
        await self._parts.sessions.finish(ended)
        if is_batch:
            row, text = self._parts.batch.mint(row)
        return IssuedToken(row=row, text=text, warnings=warnings, details=dict(result.details))

    async def spend(self, login: VerifiedLogin) -> None:
        """A login without a token: end its lockout's count, use up what counts once.

        Raises `LoginRefusedError` where it does not hold any more.
        """
        mount, claim = login.mount, login.result.claim

        def change(entries: EntryTx, _rows: LoginTx) -> None:
            _use_up(login, entries)

        if login.lockout_name or claim is not None:
            await self._parts.store.transact_rows(mount.id, change)

    async def check_renewal(self, row: TokenRow) -> None:
        """Raise `ValidationError` where the token of a login may not be renewed any more.

        Raises `UnavailableError` (`source_unavailable`) when its source cannot be asked.
        """
        try:
            await self.confirm(row)
        except LoginRefusedError as refused:
            raise ValidationError("renewal_refused", refused.vault_message) from None

    async def confirm(self, row: TokenRow) -> None:
        """Raise `LoginRefusedError` where the source no longer has whom a login's token stands for.

        Raises `UnavailableError` (`source_unavailable`) when it cannot be asked.
        """
        if not row.mount_id:
            return
        mount = self._parts.mounts.find_by_id(row.mount_id)
        method = None if mount is None else self._parts.methods.get(mount.type)
        if mount is None or method is None:
            raise LoginRefusedError("not_renewable", "the auth mount of this token is gone")
        await self._ask(mount, lambda: method.renew(mount, row))

    def _draft(self, login: VerifiedLogin, *, is_batch: bool) -> tuple[TokenRow, tuple[str, ...]]:
        """The token's row without what identifies it, and warnings.

        A person's batch token, which nobody can count, revoke or see unused, ends with the idle
        time.
        """
        mount, result, asked = login.mount, login.result, login.result.token
        limits = self._parts.sessions.limits
        longest = mount.max_lease_ttl or token_lifetime.MAX_TTL
        explicit = asked.explicit_max_ttl
        if result.is_person:
            longest = min(longest, limits.batch_max_ttl if is_batch else limits.timeout)
            if not is_batch and (asked.period or limits.timeout < token_lifetime.MAX_TTL):
                explicit = limits.max_ttl(explicit)  # which renewals of a period heed as well
        most = min(asked.max_ttl or longest, longest)
        life = token_lifetime.grant_lifetime(
            ttl=asked.ttl,
            explicit_max_ttl=explicit,
            period=asked.period,
            root=False,
            default_ttl=mount.default_lease_ttl or token_lifetime.MAX_TTL,
            max_ttl=most,
        )
        now = self._parts.world.now()
        networks = list(asked.bound_cidrs)
        if asked.strictly_bind_ip:
            networks = list(parse_cidrs([login.origin.ip], "ip"))
        row = TokenRow(
            id="",
            accessor="",
            secret_hash=b"",
            display_name=login.identity.name,
            policies=login_policies(asked),
            meta=dict(result.metadata),
            path=login.path,
            created_at=now,
            issued_at=now,
            ttl=life.ttl,
            period=life.period,
            explicit_max_ttl=explicit,
            expires_at=now + life.ttl,
            num_uses=asked.num_uses,
            uses_left=asked.num_uses,
            mount_id=mount.id,
            role=result.role or UNSET,
            renewal=dict(result.renewal) or UNSET,
            bound_cidrs=networks or UNSET,
            certificate=result.certificate or UNSET,
            verified_at=now,
            max_ttl=UNSET if most == token_lifetime.MAX_TTL else most,
            session=True if result.is_person and not is_batch else UNSET,
        )
        return row, life.warnings

    async def _count_failure(self, mount: AuthMountRow, name: str) -> None:
        """Count a failure in a lockout; durable, so that it holds on all agents."""
        if not name or not _has_lockout(mount):
            return

        def change(entries: EntryTx, _rows: LoginTx) -> bool:
            held = entries.get(LOCKOUT, name)
            if _is_locked(mount, held, entries.now):
                return True
            before = 0 if held is None else int(held.document["failures"])
            last = 0 if held is None else held.updated_at
            _, duration, reset = lockout_settings(mount)
            count = 1 if abs(entries.now - last) >= reset else before + 1
            entries.put(
                LOCKOUT,
                name,
                {"failures": count},
                expires_at=entries.now + max(duration, reset),
            )
            return False

        if await self._parts.store.transact_rows(mount.id, change):
            raise _locked()

    @contextmanager
    def _place(self, mount: AuthMountRow, origin: Origin) -> Iterator[None]:
        """One of the places of a mount. Raises `UnavailableError` (`logins_full`) at once."""
        waiting = self._waiting.setdefault(mount.id, {})
        address = client_network(origin.ip)
        own = waiting.get(address, 0)
        if own >= MAX_LOGINS_OF_ADDRESS or sum(waiting.values()) >= MAX_LOGINS:
            raise UnavailableError(
                "logins_full", "too many logins wait at this auth mount; wait and try again"
            )
        waiting[address] = own + 1
        try:
            yield
        finally:
            waiting[address] -= 1
            if not waiting[address]:
                del waiting[address]
            if not waiting:
                self._waiting.pop(mount.id, None)

    async def _ask(self, mount: AuthMountRow, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask a method, whose source is left alone for a while once it has not answered often."""
        breaker = self._breakers.get(mount.id)
        if breaker is None:
            self._forget_breakers()
            breaker = Breaker(self._parts.world.monotonic, cooldown=COOLDOWN, counts=_SourceFailed)
            self._breakers[mount.id] = breaker
        try:
            with breaker.guard():
                try:
                    with trio.fail_after(LOGIN_TIMEOUT):
                        return await ask()
                except trio.TooSlowError:
                    raise _SourceFailed from None
                except UnavailableError as error:
                    if error.code == SOURCE_UNAVAILABLE:
                        raise _SourceFailed from error
                    raise
        except (CircuitOpen, _SourceFailed):
            raise _source_unavailable() from None

    def _forget_breakers(self) -> None:
        """Those of mounts that are gone."""
        for mount_id in [m for m in self._breakers if self._parts.mounts.find_by_id(m) is None]:
            del self._breakers[mount_id]


class _SourceFailed(Exception):  # noqa: N818  # a signal: the breaker counts it alone
    """The source of a mount did not answer."""


def _check_batch(asked: TokenParameters) -> None:
    """Raise `ValidationError` for a limit that a batch token would not keep."""
    if asked.num_uses:
        raise ValidationError(
            "batch_token_invalid", 'batch tokens cannot have "num_uses" set', field="num_uses"
        )


def login_policies(asked: TokenParameters) -> list[str]:
    """The policies of a login's token. Raises `ValidationError` for root, and for too many."""
    names = {canonical_name(name.strip(), "policies") for name in asked.policies if name.strip()}
    if ROOT_POLICY in names:
        raise ValidationError("root_refused", "auth methods cannot create root tokens")
    if not asked.no_default_policy:
        names.add(DEFAULT_POLICY)
    if len(names) > MAX_POLICIES:
        raise ValidationError(
            "token_invalid", f"a token has at most {MAX_POLICIES} policies", field="policies"
        )
    return sorted(names)


def token_type(mount: AuthMountRow, asked: str) -> str:
    """Whether a login makes a service or a batch token."""
    if mount.token_type in {TokenType.SERVICE, TokenType.BATCH}:
        return mount.token_type
    if asked in {TokenType.SERVICE, TokenType.BATCH}:
        return asked
    own = TokenType.DEFAULT_BATCH in {mount.token_type, asked}
    return TokenType.BATCH if own else TokenType.SERVICE


def lockout_settings(mount: AuthMountRow) -> tuple[int, int, int]:
    """Failures, duration and reset of a mount's lockout (ns)."""
    tuned = mount.tuning.get("user_lockout_config", {})
    return (
        int(tuned.get("lockout_threshold") or FAILURES),
        int(tuned.get("lockout_duration") or DURATION),
        int(tuned.get("lockout_counter_reset") or RESET),
    )


def _has_lockout(mount: AuthMountRow) -> bool:
    return not mount.tuning.get("user_lockout_config", {}).get("lockout_disable", False)


def _is_locked(mount: AuthMountRow, held: Any, now: int) -> bool:
    if held is None:
        return False
    threshold, duration, _ = lockout_settings(mount)
    return int(held.document["failures"]) >= threshold and abs(now - held.updated_at) < duration


def _use_up(login: VerifiedLogin, entries: EntryTx) -> None:
    """What of a login counts once. Raises `LoginRefusedError` where it does not hold any more."""
    if login.lockout_name:
        held = entries.get(LOCKOUT, login.lockout_name)
        if _is_locked(login.mount, held, entries.now):
            raise _locked()
        if held is not None:
            entries.delete(LOCKOUT, login.lockout_name)
    if login.result.claim is not None:
        login.result.claim(entries)


def _locked() -> LoginRefusedError:
    """Whoever is locked out hears what every refused caller hears of OpenBao."""
    return LoginRefusedError("login_locked", "permission denied", vault_status=403)


def _factor_refused() -> LoginRefusedError:
    return LoginRefusedError(
        "second_factor_refused",
        "the second factor was not accepted: a code counts once, and after too many wrong ones "
        "none does for 15 minutes",
        vault_status=403,
        vault_message="permission denied",
    )


def _source_unavailable() -> UnavailableError:
    return UnavailableError(
        SOURCE_UNAVAILABLE,
        "the identity source of this auth mount does not answer: wait and try again, or log in "
        "another way; sessions go on",
    )


def _display_name(mount: AuthMountRow, result: LoginResult) -> str:
    """As OpenBao: the mount, and behind it what the method says."""
    own = mount.path.removesuffix("/").replace("/", "-")
    return clean_display_name(f"{own}-{result.display_name}" if result.display_name else own)
