"""Logins that need a second factor, in two phases.

Phase one ends without a token: its row waits, without anything that would authenticate, under a
hash of a random id. Phase two checks the factors, makes the token and takes the waiting row away in
one transaction. A login that shows its factors at once is both in one transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from actors.world import World
from protocols.instant import MINUTE
from vault.authn.batch_tokens import BatchTokens
from vault.authn.credential_scheme import CredentialScheme
from vault.authn.credential_validity import LOGIN_METHODS, RowLookup, token_identity
from vault.authn.jwt.digest import digest_of
from vault.authn.lockout import FAILURES
from vault.authn.methods.method import EntryTx, LoginRefusedError, LoginStep, LoginTx, RowTx
from vault.authn.mfa.configuration import named_methods, read_settings
from vault.authn.mfa.enforcement import (
    Enforcement,
    EnforcementRules,
    MfaRequirement,
    login_subject,
    unsatisfied,
)
from vault.authn.mfa.entries import PENDING, FactorStore
from vault.authn.mfa.proof import (
    LOGIN,
    Proof,
    Proofs,
    count_failure,
    forget_failures,
    is_locked,
)
from vault.authn.revocation import EndedFamilies
from vault.authn.sessions import SessionOpener
from vault.authn.tokens import IssuedToken
from vault.model.auth_mounts import MFA_MOUNT
from vault.model.identity import Identity
from vault.model.records import AuthMountRow, TokenRow, UserRow
from vault.store.tables import AUTH_MOUNTS, TOKENS, USERS

WAIT: Final = 5 * MINUTE  # that a login waits for its second factor


@dataclass(frozen=True, kw_only=True)
class LoginFactorParts:
    """What the second phase of logins is made with."""

    store: FactorStore
    rules: EnforcementRules
    scheme: CredentialScheme
    batch: BatchTokens
    sessions: SessionOpener
    world: World


@dataclass(frozen=True, kw_only=True)
class LoginDraft:
    """The token that a login from `address` would get. `row` has neither id nor secret yet."""

    mount: AuthMountRow
    row: TokenRow
    is_batch: bool
    address: str
    warnings: tuple[str, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Admission:
    """Whether a login gets its token now. `mfa_at`: when its factors were shown, 0 for none.

    `requirement`: it waits for its factors. `is_refused`: those that it showed are wrong.
    """

    mfa_at: int = 0
    requirement: MfaRequirement | None = None
    is_refused: bool = False


@dataclass(frozen=True, kw_only=True)
class WaitingLogin(LoginStep):
    """A login that waits, as it was found. `entity_id` is whose factors it needs."""

    key: str
    entity_id: str
    constraints: Mapping[str, tuple[str, ...]]


class _Waiting(Struct, frozen=True, kw_only=True):
    """The document of a login that waits. `changed_at`: of its entity, when the login began."""

    row: TokenRow
    changed_at: int
    mount_type: str
    is_batch: bool
    address: str
    constraints: dict[str, tuple[str, ...]]
    warnings: tuple[str, ...] = ()
    details: dict[str, str] = {}


class LoginFactors:
    """Second factors at logins. Logins that wait, and counts, are in the store."""

    def __init__(self, parts: LoginFactorParts) -> None:
        self._parts = parts
        self._proofs = Proofs(parts.scheme)

    def new_request_id(self) -> str:
        """The id of a login that may have to wait: 122 random bits."""
        return self._parts.world.new_id()

    def admit(
        self,
        entries: EntryTx,
        rows: RowTx,
        draft: LoginDraft,
        *,
        request_id: str,
        proof: Proof | None,
    ) -> Admission:
        """Judge a login within its transaction, once its entity is resolved.

        Raises `LoginRefusedError` where a factor is needed and there is no entity to have one.
        """
        entity = rows.get(USERS, draft.row.user_id) if draft.row.user_id else None
        required = self._required(rows.get, draft.mount, entity)
        if not required:
            return Admission()
        own = entries.of_mount(MFA_MOUNT.id)
        if entity is None:
            raise LoginRefusedError(
                "second_factor_needed",
                "this login needs a second factor, and its auth method names no entity that could "
                "have one",
                vault_status=403,
                vault_message="permission denied",
            )
        if proof is not None:
            named = replace(proof, codes=_by_id(own, required, proof.codes))
            wrong = self._unsatisfied(own, required, entity.id, named)
            return Admission(is_refused=True) if wrong else Admission(mfa_at=own.now)
        waiting = _Waiting(
            row=draft.row,
            changed_at=entity.updated_at,
            mount_type=draft.mount.type,
            is_batch=draft.is_batch,
            address=draft.address,
            constraints=_constraints(required),
            warnings=draft.warnings,
            details=dict(draft.details),
        )
        expires_at = own.now + WAIT
        document: dict[str, Any] = msgspec.to_builtins(waiting)
        own.put(PENDING, digest_of(request_id), document, expires_at=expires_at)
        return Admission(
            requirement=MfaRequirement(
                request_id=request_id,
                constraints={name: named_methods(own, one) for name, one in required.items()},
                expires_at=expires_at,
            )
        )

    def is_required(self, get: RowLookup, mount: AuthMountRow, entity: UserRow | None) -> bool:
        """Whether a login needs a second factor; the groups are those of `entity` as it is."""
        return bool(self._required(get, mount, entity))

    async def find(self, request_id: str) -> WaitingLogin:
        """Step 1 of the second phase. Raises `LoginRefusedError` for one that does not wait."""
        key = digest_of(request_id)
        held = await self._parts.store.get(MFA_MOUNT.id, PENDING, key) if request_id else None
        if held is None:
            raise _unknown()
        waiting = msgspec.convert(held.document, _Waiting)
        row = waiting.row
        return WaitingLogin(
            identity=Identity(
                id=row.user_id,
                name=row.display_name,
                method=LOGIN_METHODS[waiting.mount_type],
                mount=str(row.mount_id),
            ),
            key=key,
            entity_id=row.user_id,
            constraints=waiting.constraints,
        )

    async def finish(self, waiting: WaitingLogin, proof: Proof) -> IssuedToken:
        """Step 4: the token. Raises `LoginRefusedError`; five wrong codes end the login."""
        minted = self._parts.scheme.mint_token()
        accessor = self._parts.scheme.mint_accessor()

        def change(entries: EntryTx, rows: LoginTx) -> "_Finished | str":
            held = entries.get(PENDING, waiting.key)
            if held is None or entries.now >= held.expires_at:
                return _GONE
            found = msgspec.convert(held.document, _Waiting)
            mount = rows.get(AUTH_MOUNTS, str(found.row.mount_id))
            entity = rows.get(USERS, found.row.user_id)
            if mount is None or entity is None:
                return _GONE
            required = self._required(rows.get, mount, entity)
            if (
                _constraints(required) != found.constraints
                or entity.updated_at != found.changed_at  # it may have been disabled for a while
            ):
                entries.delete(PENDING, waiting.key)  # another login asks for what counts now
                return _GONE
            wrong = self._unsatisfied(entries, required, entity.id, proof)
            if wrong:
                if is_locked(entries, LOGIN, entity.id, _threshold(entries, required)):
                    entries.delete(PENDING, waiting.key)
                return wrong
            entries.delete(PENDING, waiting.key)
            now = entries.now
            row = replace(
                found.row,
                id=minted.id,
                accessor=accessor,
                secret_hash=minted.secret_hash,
                created_at=now,
                issued_at=now,
                expires_at=now + found.row.ttl,
                mfa_at=now,
            )
            if token_identity(rows.get, replace(row, session=UNSET), now) is None:
                return _GONE
            ended = None
            if row.session:
                row, ended = self._parts.sessions.open(rows.rows, row, found.address, now)
            if not found.is_batch:
                rows.put(TOKENS, row)
            return _Finished(row=row, waiting=found, ended=ended)

        done = await self._parts.store.transact_rows(MFA_MOUNT.id, change)
        if isinstance(done, str):
            raise _unknown() if done == _GONE else _wrong(done, waiting)
        await self._parts.sessions.finish(done.ended)
        row, text = done.row, minted.text
        if done.waiting.is_batch:
            row, text = self._parts.batch.mint(row)
        return IssuedToken(
            row=row, text=text, warnings=done.waiting.warnings, details=done.waiting.details
        )

    def _required(
        self, get: RowLookup, mount: AuthMountRow, entity: UserRow | None
    ) -> dict[str, Enforcement]:
        subject = login_subject(get, accessor=mount.accessor, mount_type=mount.type, entity=entity)
        return self._parts.rules.required(get, subject)

    def _unsatisfied(
        self,
        entries: EntryTx,
        required: Mapping[str, Enforcement],
        entity_id: str,
        proof: Proof,
    ) -> str:
        """Use up what is shown; else count it, and say which enforcement is not satisfied."""
        first = next(iter(required))
        if is_locked(entries, LOGIN, entity_id, _threshold(entries, required)):
            return first
        needed = [one.methods for one in required.values()]
        shown = self._proofs.check(entries, entity_id, needed, proof)
        wrong = unsatisfied(required, shown.methods)
        if wrong:
            count_failure(entries, LOGIN, entity_id)
            return wrong
        shown.use_up()
        forget_failures(entries, entity_id, LOGIN)
        return ""


class _Finished(Struct, frozen=True, kw_only=True):
    row: TokenRow
    waiting: _Waiting
    ended: EndedFamilies | None


_GONE: Final = ""


def _constraints(required: Mapping[str, Enforcement]) -> dict[str, tuple[str, ...]]:
    return {name: one.methods for name, one in required.items()}


def _by_id(
    entries: EntryTx,
    required: Mapping[str, Enforcement],
    codes: Mapping[str, tuple[str, ...]],
) -> dict[str, tuple[str, ...]]:
    """Codes by the ids of methods; what comes with a login may call them by name."""
    ids: dict[str, str] = {}
    for method in (method for one in required.values() for method in one.methods):
        settings = read_settings(entries, method)
        if settings is not None and settings.name:
            ids[settings.name] = method
    return {ids.get(key, key): given for key, given in codes.items()}


def _threshold(entries: EntryTx, required: Mapping[str, Enforcement]) -> int:
    """The fewest wrong codes that a method of these bears."""
    found = (read_settings(entries, method) for one in required.values() for method in one.methods)
    return min((one.max_validation_attempts for one in found if one is not None), default=FAILURES)


def _unknown() -> LoginRefusedError:
    return LoginRefusedError(
        "mfa_request_unknown",
        "no login waits under this id: it waits for five minutes, and after too many wrong codes "
        "no more; log in again",
        vault_message="invalid request ID",
    )


def _wrong(name: str, waiting: WaitingLogin) -> LoginRefusedError:
    """One text for wrong, used, locked and absent, in OpenBao's words."""
    ids = " ".join(waiting.constraints.get(name, ()))
    return LoginRefusedError(
        "second_factor_refused",
        "the second factor was not accepted: a code counts once, and after too many wrong ones "
        "none does for 15 minutes",
        vault_status=403,
        vault_message=(
            f"failed to satisfy enforcement {name}. error: 2 errors occurred:\n"
            "\t* MFA credentials not supplied or incorrect\n"
            f"\t* login MFA validation failed for methodID: [{ids}]\n\n"
        ),
    )
