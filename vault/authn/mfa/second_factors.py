"""The factors of an entity: enrol, list, remove, and show one for a token that is held (step-up).

Whoever has a factor adds, replaces and removes factors only with one: a token that was stolen is
not enough. Administrators generate and destroy factors of entities within their authority.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

import msgspec
import trio
from msgspec import Struct
from msgspec.structs import replace

from actors.slewed_clock import EARLY
from actors.world import World
from protocols.instant import MINUTE, SECOND
from vault.authn.credential_scheme import CredentialScheme
from vault.authn.credential_validity import token_identity, user_policies
from vault.authn.entities import account_name
from vault.authn.methods.method import EntryTx, RowTx
from vault.authn.mfa import passkeys, recovery
from vault.authn.mfa.configuration import METHODS, MethodSettings, read_settings
from vault.authn.mfa.enforcement import TOTP, WEBAUTHN
from vault.authn.mfa.entries import (
    CHALLENGE,
    FACTOR,
    MAX_FACTORS,
    NEW_FACTOR,
    RECOVERY,
    FactorStore,
    own_name,
)
from vault.authn.mfa.passkeys import RelyingParty
from vault.authn.mfa.proof import (
    LOGIN,
    OWN,
    Factor,
    Proof,
    Proofs,
    SignedChallenge,
    count_failure,
    factor_document,
    forget_failures,
    is_locked,
    read_factor,
    write_factor,
)
from vault.authn.mfa.totp import encode_secret, matching_step, otpauth_url, qr_code_png
from vault.authn.privilege import require_authority_over
from vault.errors import (
    AuthorizationError,
    ConflictError,
    NotFoundError,
    ValidationError,
)
from vault.model.auth_mounts import MFA_MOUNT
from vault.model.identity import Identity
from vault.model.records import TokenRow, UserRow
from vault.store.tables import TOKENS, USERS

P = ParamSpec("P")
T = TypeVar("T")

FRESH: Final = 10 * MINUTE
"""How long ago a factor may have been shown for a token that changes the factors of its entity."""
NEW_LIFETIME: Final = 10 * MINUTE  # until a new factor is confirmed
MAX_NAME: Final = 128  # characters that a person calls a factor
MAX_WORKING: Final = 2  # pictures and passkeys at a time, in threads


@dataclass(frozen=True, kw_only=True)
class FactorParts:
    """What second factors are made with. `party` None: no public address, so no passkeys."""

    store: FactorStore
    scheme: CredentialScheme
    world: World
    random: Callable[[int], bytes]
    issuer: str = "Freehold"
    party: RelyingParty | None = None


class FactorView(Struct, frozen=True, kw_only=True):
    """A factor as it is shown. Instants in Unix ns, 0: never."""

    id: str
    type: str
    name: str
    created_at: int
    used_at: int

    @classmethod
    def of(cls, factor_id: str, factor: Factor) -> "FactorView":
        """Without what is secret of it."""
        return cls(
            id=factor_id,
            type=factor.type,
            name=factor.name,
            created_at=factor.created_at,
            used_at=factor.used_at,
        )


class OwnFactors(Struct, frozen=True, kw_only=True):
    """The factors of an entity, and how many recovery codes are left."""

    factors: tuple[FactorView, ...]
    recovery_codes: int


class NewTotp(Struct, frozen=True, kw_only=True):
    """A secret for an authenticator app, shown once. `qr_code`: PNG in base64, or empty."""

    secret: str
    url: str
    qr_code: str
    expires_at: int = 0

    def __repr__(self) -> str:
        return "NewTotp()"


class Generated(Struct, frozen=True, kw_only=True):
    """A secret of a method, which is called `method`, for an entity; `made` None: it has one."""

    method: str
    made: NewTotp | None = None


class Enrolled(Struct, frozen=True, kw_only=True):
    """A factor that counts from now on. `recovery_codes`: with the first one, shown once."""

    factor: FactorView
    recovery_codes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Enrolled(factor={self.factor!r})"


class SecondFactors:
    """Second factors of entities. All state is in the store, which processes and agents share."""

    def __init__(self, parts: FactorParts) -> None:
        self._parts = parts
        self._proofs = Proofs(parts.scheme)
        self._working = trio.CapacityLimiter(MAX_WORKING)

    async def list_own(self, entity_id: str) -> OwnFactors:
        """The factors of an entity that are confirmed."""
        found = await self._factors(entity_id)
        codes = await self._parts.store.list_names(MFA_MOUNT.id, RECOVERY, own_name(entity_id, ""))
        return OwnFactors(
            factors=tuple(FactorView.of(each, factor) for each, factor in found.items()),
            recovery_codes=len(codes),
        )

    async def verify(self, row: TokenRow, proof: Proof) -> TokenRow:
        """Show a factor for a token that is held: returns it with `mfa_at`.

        Raises `AuthorizationError` (`second_factor_refused`) for what is wrong, used or locked.
        """
        if row.is_batch:
            raise ValidationError(
                "batch_token", "a second factor cannot be added to a batch token: log in with one"
            )
        entity_id = _entity_of(row)

        def change(entries: EntryTx, rows: RowTx) -> TokenRow | None:
            current = rows.get(TOKENS, row.id)
            if current is None or token_identity(rows.get, current, entries.now) is None:
                return None
            if not self._take(entries, entity_id, proof):
                return None
            shown = replace(current, mfa_at=entries.now)
            rows.put(TOKENS, shown)
            return shown

        found = await self._transact(change)
        if found is None:
            raise _refused()
        return found

    async def begin_totp(self, caller: Identity, row: TokenRow, name: str) -> NewTotp:
        """Make the secret of a new authenticator app, which counts once a code confirms it.

        It takes the place of the one that there is, if any. Raises `AuthorizationError`
        (`second_factor_required`) where there is a factor that was not shown lately.
        """
        entity_id, label = _entity_of(row), _checked_name(name)
        settings = METHODS[TOTP]
        factor = self._new_totp(settings, label)
        expires_at = self._parts.world.now() + NEW_LIFETIME

        def change(entries: EntryTx, rows: RowTx) -> str:
            user = _require_entity(rows, entity_id)
            _require_fresh(entries, caller, user.id)
            entries.put(
                NEW_FACTOR,
                own_name(entity_id, TOTP),
                factor_document(factor),
                expires_at=expires_at,
            )
            return account_name(rows.get, user, row.mount_id or "")

        account = await self._transact(change)
        return await self._shown_totp(settings, factor, account, expires_at)

    async def confirm_totp(self, caller: Identity, row: TokenRow, code: str) -> Enrolled:
        """Have the new authenticator app count, by one of its codes.

        Raises `ValidationError` (`code_wrong`), after which the secret is still there, and
        `AuthorizationError` where too many were wrong.
        """
        entity_id = _entity_of(row)
        name = own_name(entity_id, TOTP)

        def change(entries: EntryTx, rows: RowTx) -> Enrolled | AuthorizationError | None:
            _require_entity(rows, entity_id)
            _require_fresh(entries, caller, entity_id)
            held = entries.get(NEW_FACTOR, name)
            if held is None or entries.now >= held.expires_at:
                raise NotFoundError(
                    "no_new_factor", "there is no authenticator app to confirm: begin again"
                )
            if is_locked(entries, OWN, entity_id):
                return _refused()
            factor = msgspec.convert(held.document, Factor)
            step = matching_step(
                factor.secret, factor.parameters, code.strip(), now=entries.now, last_step=0
            )
            if step is None:
                count_failure(entries, OWN, entity_id)
                return None
            entries.delete(NEW_FACTOR, name)
            return self._enrol(entries, entity_id, TOTP, replace(factor, last_step=step))

        found = await self._transact(change)
        if isinstance(found, AuthorizationError):
            raise found
        if found is None:
            raise ValidationError(
                "code_wrong",
                "this is no code of the new authenticator app: see that the clock of the device "
                "is right, and take its next code",
                field="passcode",
            )
        return found

    async def remove(self, caller: Identity, row: TokenRow, factor_id: str, proof: Proof) -> None:
        """Remove an own factor: a code of it, or a recovery code, or (of a passkey) a step-up.

        Raises `NotFoundError`, `AuthorizationError` (`second_factor_refused`).
        """
        entity_id = _entity_of(row)
        name = own_name(entity_id, factor_id)

        def change(entries: EntryTx, rows: RowTx) -> bool:
            _require_entity(rows, entity_id)
            factor = read_factor(entries, FACTOR, name)
            if factor is None:
                raise _no_factor()
            is_stepped_up = factor.type == WEBAUTHN and _is_fresh(caller, entries.now)
            method = WEBAUTHN if factor.type == WEBAUTHN else factor_id
            if not is_stepped_up and not self._take(entries, entity_id, proof, (method,)):
                return False
            entries.delete(FACTOR, name)
            if not entries.list_names(FACTOR, own_name(entity_id, ""), limit=1):
                _delete_codes(entries, entity_id)
            return True

        if not await self._transact(change):
            raise _refused()

    async def renew_recovery_codes(
        self, caller: Identity, row: TokenRow, proof: Proof
    ) -> tuple[str, ...]:
        """New recovery codes in the place of the others. Raises as `remove`."""
        entity_id = _entity_of(row)

        def change(entries: EntryTx, rows: RowTx) -> tuple[str, ...]:
            _require_entity(rows, entity_id)
            if not entries.list_names(FACTOR, own_name(entity_id, ""), limit=1):
                raise _no_factor()
            if not (_is_fresh(caller, entries.now) or self._take(entries, entity_id, proof)):
                return ()
            return self._put_codes(entries, entity_id)

        found = await self._transact(change)
        if not found:
            raise _refused()
        return found

    # Of administrators, and of the Vault API

    async def generate(
        self, caller: Identity, entity_id: str, method_id: str, *, own: bool
    ) -> Generated:
        """Give an entity a secret of a method, which counts at once, unless it has one.

        `own`: the caller is the entity, and has shown a factor if it has any. Raises
        `ValidationError`, and `AuthorizationError` where the caller has no authority over it.
        """
        random_key = self._parts.random

        def change(entries: EntryTx, rows: RowTx) -> tuple[MethodSettings, str, Factor | None]:
            settings = read_settings(entries, method_id)
            if settings is None or settings.type != TOTP:
                raise ValidationError(
                    "method_unknown",
                    f'configuration for method ID "{method_id[:64]}" does not exist',
                    field="method_id",
                )
            user = rows.get(USERS, entity_id)
            if user is None:
                raise ValidationError("entity_unknown", "invalid entity ID", field="entity_id")
            # OpenBao's label is the id: its methods are of entities that nobody may have named
            account = account_name(rows.get, user) if method_id == TOTP else entity_id
            name = own_name(entity_id, method_id)
            if entries.get(FACTOR, name) is not None:
                return settings, account, None
            if own:
                _require_fresh(entries, caller, entity_id)
            else:
                require_authority_over(rows.get, caller, user_policies(rows.get, user))
            factor = _totp_factor(settings, method_id, random_key(settings.key_size), entries.now)
            _require_place(entries, entity_id)
            write_factor(entries, name, factor)
            return settings, account, factor

        settings, account, factor = await self._transact(change)
        name = settings.name or method_id
        if factor is None:
            return Generated(method=name)
        return Generated(method=name, made=await self._shown_totp(settings, factor, account, 0))

    async def destroy(self, caller: Identity, entity_id: str, method_id: str) -> None:
        """Take an entity's factor away, or all of them (no method), with its recovery codes.

        Wrong codes are forgotten. Raises as `generate`; one that is not there is no error.
        """

        def change(entries: EntryTx, rows: RowTx) -> None:
            user = rows.get(USERS, entity_id)
            if user is None:
                raise ValidationError("entity_unknown", "invalid entity ID", field="entity_id")
            require_authority_over(rows.get, caller, user_policies(rows.get, user))
            names = [own_name(entity_id, method_id)]
            if not method_id:
                names = entries.list_names(FACTOR, own_name(entity_id, ""))
            for name in names:
                entries.delete(FACTOR, name)
                entries.delete(NEW_FACTOR, name)
            if not entries.list_names(FACTOR, own_name(entity_id, ""), limit=1):
                _delete_codes(entries, entity_id)
            forget_failures(entries, entity_id, LOGIN, OWN)

        await self._transact(change)

    # Passkeys

    async def begin_passkey(self, caller: Identity, row: TokenRow) -> dict[str, Any]:
        """What a browser registers a passkey with. Raises as `begin_totp`."""
        party, entity_id = self._require_party(), _entity_of(row)
        known = await self._passkeys(entity_id)
        challenge = self._parts.random(passkeys.CHALLENGE_BYTES)

        def change(entries: EntryTx, rows: RowTx) -> str:
            user = _require_entity(rows, entity_id)
            _require_fresh(entries, caller, entity_id)
            self._put_challenge(entries, _registration(row), challenge)
            return account_name(rows.get, user, row.mount_id or "")

        account = await self._transact(change)
        return await self._in_thread(
            passkeys.registration_options,
            party,
            entity_id=entity_id,
            account=account,
            challenge=challenge,
            known=[factor.credential for factor in known.values()],
        )

    async def register_passkey(
        self, caller: Identity, row: TokenRow, response: Mapping[str, Any], name: str
    ) -> Enrolled:
        """Have a passkey count, by what a browser answered. Raises `ValidationError`."""
        party, entity_id, label = self._require_party(), _entity_of(row), _checked_name(name)
        challenge = await self._challenge(_registration(row))
        made = await self._in_thread(passkeys.verify_registration, party, dict(response), challenge)
        factor = Factor(
            type=WEBAUTHN,
            method=WEBAUTHN,
            name=label,
            created_at=self._parts.world.now(),
            credential=made.credential,
            public_key=made.public_key,
            sign_count=made.sign_count,
            transports=made.transports,
        )

        def change(entries: EntryTx, rows: RowTx) -> Enrolled:
            _require_entity(rows, entity_id)
            _require_fresh(entries, caller, entity_id)
            self._use_challenge(entries, _registration(row), challenge)
            if entries.get(FACTOR, own_name(entity_id, made.factor)) is not None:
                raise ConflictError("factor_exists", "this passkey is registered already")
            return self._enrol(entries, entity_id, made.factor, factor)

        return await self._transact(change)

    async def begin_assertion(self, entity_id: str, purpose: str) -> dict[str, Any]:
        """What a browser has a passkey sign, for one purpose. Raises `NotFoundError` without one.

        `purpose`: the name of what it is for, which the answer counts for alone.
        """
        party = self._require_party()
        known = await self._passkeys(entity_id)
        if not known:
            raise NotFoundError("no_passkey", "there is no passkey: register one first")
        challenge = self._parts.random(passkeys.CHALLENGE_BYTES)
        await self._transact(lambda entries, _: self._put_challenge(entries, purpose, challenge))
        credentials = [factor.credential for factor in known.values()]
        return await self._in_thread(passkeys.assertion_options, party, challenge, credentials)

    async def check_assertion(
        self, entity_id: str, purpose: str, response: Mapping[str, Any]
    ) -> SignedChallenge | None:
        """What a passkey has signed, verified; it counts in a transaction. None: nothing does."""
        party, answer = self._require_party(), dict(response)
        factor_id = passkeys.factor_id(await self._in_thread(passkeys.credential_of, answer))
        held = await self._parts.store.get(MFA_MOUNT.id, FACTOR, own_name(entity_id, factor_id))
        challenge = await self._parts.store.get(MFA_MOUNT.id, CHALLENGE, purpose)
        if held is None or challenge is None:
            return None
        factor = msgspec.convert(held.document, Factor)
        count = await self._in_thread(
            passkeys.verify_assertion,
            party,
            answer,
            challenge=bytes.fromhex(challenge.document["challenge"]),
            public_key=factor.public_key,
        )
        if count is None:
            return None
        return SignedChallenge(
            factor=factor_id,
            public_key=factor.public_key,
            purpose=purpose,
            challenge=challenge.document["challenge"],
            sign_count=count,
        )

    def _take(
        self,
        entries: EntryTx,
        entity_id: str,
        proof: Proof,
        methods: Iterable[str] = (),
    ) -> bool:
        """Use up what is shown of an own factor; count it as wrong where it is not right."""
        if is_locked(entries, OWN, entity_id):
            return False
        own = tuple(methods) or tuple(
            factor.method for factor in _own_factors(entries, entity_id).values()
        )
        shown = self._proofs.check(entries, entity_id, (own,), proof)
        if not shown.methods:
            count_failure(entries, OWN, entity_id)
            return False
        shown.use_up()
        forget_failures(entries, entity_id, OWN)
        return True

    def _enrol(self, entries: EntryTx, entity_id: str, factor_id: str, factor: Factor) -> Enrolled:
        """Store a factor that was confirmed, with recovery codes if it is the first."""
        name = own_name(entity_id, factor_id)
        if entries.get(FACTOR, name) is None:
            _require_place(entries, entity_id)
        has_codes = bool(entries.list_names(RECOVERY, own_name(entity_id, ""), limit=1))
        write_factor(entries, name, factor)
        return Enrolled(
            factor=FactorView.of(factor_id, factor),
            recovery_codes=() if has_codes else self._put_codes(entries, entity_id),
        )

    def _put_codes(self, entries: EntryTx, entity_id: str) -> tuple[str, ...]:
        """New recovery codes, a row for each: a row that is used goes."""
        _delete_codes(entries, entity_id)
        codes = recovery.new_codes(self._parts.random)
        for code in codes:
            name = own_name(entity_id, recovery.code_hash(self._parts.scheme, code))
            entries.put(RECOVERY, name, {}, uses_left=1)
        return tuple(codes)

    def _put_challenge(self, entries: EntryTx, purpose: str, challenge: bytes) -> None:
        expires_at = entries.now + passkeys.TIMEOUT * SECOND
        entries.put(CHALLENGE, purpose, {"challenge": challenge.hex()}, expires_at=expires_at)

    async def _challenge(self, purpose: str) -> bytes:
        held = await self._parts.store.get(MFA_MOUNT.id, CHALLENGE, purpose)
        if held is None:
            raise _no_challenge()
        return bytes.fromhex(held.document["challenge"])

    def _use_challenge(self, entries: EntryTx, purpose: str, challenge: bytes) -> None:
        held = entries.get(CHALLENGE, purpose)
        if held is None or held.document["challenge"] != challenge.hex():
            raise _no_challenge()
        entries.delete(CHALLENGE, purpose)

    async def _factors(self, entity_id: str) -> dict[str, Factor]:
        prefix = own_name(entity_id, "")
        found: dict[str, Factor] = {}
        for name in await self._parts.store.list_names(MFA_MOUNT.id, FACTOR, prefix):
            held = await self._parts.store.get(MFA_MOUNT.id, FACTOR, name)
            if held is not None:
                found[name.removeprefix(prefix)] = msgspec.convert(held.document, Factor)
        return found

    async def _passkeys(self, entity_id: str) -> dict[str, Factor]:
        found = await self._factors(entity_id)
        return {name: each for name, each in found.items() if each.type == WEBAUTHN}

    def _new_totp(self, settings: MethodSettings, name: str) -> Factor:
        key = self._parts.random(settings.key_size)
        return replace(_totp_factor(settings, TOTP, key, self._parts.world.now()), name=name)

    async def _shown_totp(
        self, settings: MethodSettings, factor: Factor, account: str, expires_at: int
    ) -> NewTotp:
        issuer = settings.issuer or self._parts.issuer  # the built-in method has none of its own
        url = otpauth_url(factor.secret, factor.parameters, issuer=issuer, account=account)
        picture = ""
        if settings.qr_size > 0:
            picture = await self._in_thread(qr_code_png, url, settings.qr_size)
        return NewTotp(secret=factor.secret, url=url, qr_code=picture, expires_at=expires_at)

    def _require_party(self) -> RelyingParty:
        if self._parts.party is None:
            raise ValidationError(
                "passkeys_off",
                "passkeys need to know the address that browsers see: set "
                "authentication.mfa.public_url",
            )
        return self._parts.party

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Milliseconds of computing, and 0.2 s of import the first time: not on the event loop."""
        return await self._parts.world.run_sync(
            partial(work, *args, **options), limiter=self._working
        )

    def _transact(self, change: Callable[[EntryTx, RowTx], T]) -> Awaitable[T]:
        return self._parts.store.transact_rows(MFA_MOUNT.id, change)


def step_up_purpose(row: TokenRow) -> str:
    """What a passkey signs for, of a token."""
    return f"{OWN}/{row.accessor}"


def _registration(row: TokenRow) -> str:
    return f"register/{row.accessor}"


def _entity_of(row: TokenRow) -> str:
    """The entity of a token. Raises `ValidationError` where it has none."""
    if not row.user_id:
        raise ValidationError(
            "no_entity",
            "second factors are an entity's, and this credential belongs to none: log in at an "
            "auth mount",
        )
    return row.user_id


def _require_entity(rows: RowTx, entity_id: str) -> UserRow:
    user: UserRow | None = rows.get(USERS, entity_id)
    if user is None:
        raise ValidationError("entity_unknown", "invalid entity ID", field="entity_id")
    return user


def _is_fresh(caller: Identity, now: int) -> bool:
    # One that is ahead was shown by a clock that was: its age is not known.
    return caller.mfa and -EARLY <= now - caller.mfa_at <= FRESH


def _require_fresh(entries: EntryTx, caller: Identity, entity_id: str) -> None:
    """Whoever has a factor shows it before there is another one: raises `AuthorizationError`."""
    if _own_factors(entries, entity_id) and not _is_fresh(caller, entries.now):
        raise AuthorizationError(
            "second_factor_required",
            "show a second factor first, with `freehold mfa verify`: you have one, and without it "
            "there can be no other",
        )


def _require_place(entries: EntryTx, entity_id: str) -> None:
    if len(entries.list_names(FACTOR, own_name(entity_id, ""))) >= MAX_FACTORS:
        raise ConflictError(
            "factors_full", f"there may be {MAX_FACTORS} second factors: remove one first"
        )


def _own_factors(entries: EntryTx, entity_id: str) -> dict[str, Factor]:
    prefix = own_name(entity_id, "")
    found: dict[str, Factor] = {}
    for name in entries.list_names(FACTOR, prefix):
        factor = read_factor(entries, FACTOR, name)
        if factor is not None:
            found[name.removeprefix(prefix)] = factor
    return found


def _delete_codes(entries: EntryTx, entity_id: str) -> None:
    for name in entries.list_names(RECOVERY, own_name(entity_id, "")):
        entries.delete(RECOVERY, name)


def _totp_factor(settings: MethodSettings, method_id: str, key: bytes, now: int) -> Factor:
    return Factor(
        type=TOTP,
        method=method_id,
        created_at=now,
        secret=encode_secret(key),
        algorithm=settings.algorithm,
        digits=settings.digits,
        period=settings.period,
        skew=settings.skew,
    )


def _checked_name(name: str) -> str:
    if len(name) > MAX_NAME or not name.isprintable():
        raise ValidationError(
            "name_invalid", f"name may have {MAX_NAME} printable characters", field="name"
        )
    return name


def _refused() -> AuthorizationError:
    """One text for wrong, used, locked and absent."""
    return AuthorizationError(
        "second_factor_refused",
        "the second factor was not accepted: a code counts once, and after five wrong ones none "
        "does for 15 minutes",
    )


def _no_factor() -> NotFoundError:
    return NotFoundError("factor_not_found", "you have no such second factor")


def _no_challenge() -> ValidationError:
    return ValidationError(
        "passkey_expired", "this took too long, or was done already: begin again"
    )
