"""Second factors: enrolment, login, recovery codes, replacement, reset.

Codes have a lock of their own beside that of passwords (`attempts`). A recovery code is 80 random
bits and good once; with that many bits a fast digest is enough, as for bearer secrets
(`control.crypto`). A replacement counts from the first code of the new authenticator on, and the
old one counts until then: an organization may demand a second factor, and nobody has to be without
one in between.
"""

import base64
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors import World
from actors.slewed_clock import has_expired
from control.authn import totp
from control.authn.attempts import Purpose, clear_attempts, count_attempt
from control.authn.session_ends import PublishChanges, SessionEnds
from control.authn.session_opener import (
    ENROLMENT,
    SECOND_FACTOR,
    SessionOpener,
    SessionRequest,
    account_requires_factor,
    find_half_session,
)
from control.authn.sessions import invalid_credential
from control.authn.users import check_credential_rank, require_user
from control.crypto import Sealer, random_bytes, secret_digest
from control.errors import AuthorizationError, ConflictError, NotFoundError
from control.model.identity import NextFactor, SecondFactor
from control.model.people import Caller, Token, TokenKind
from control.store import people, second_factors
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import SECOND

CODE_COUNT: Final = 10
_BYTES: Final = 10
_GROUP: Final = 4


def new_recovery_codes() -> list[str]:
    """New codes, to be shown once: `abcd-efgh-ijkl-mnop`."""
    return [
        _group_code(base64.b32encode(random_bytes(_BYTES)).decode().lower())
        for _ in range(CODE_COUNT)
    ]


def recovery_code_digest(org: str, name: str, code: str) -> bytes:
    """What is stored of the account's code, however a person types it."""
    typed = "".join(c for c in code.lower() if c not in " -")
    return secret_digest(f"recovery/{org}/{name}/{typed}")


def _group_code(code: str) -> str:
    return "-".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP))


ISSUER: Final = "Freehold"


class Enrolment(Struct, frozen=True):
    """What an authenticator app takes: by hand, as a link, or as a picture (a `data:` URL)."""

    secret: str
    uri: str
    picture: str


class Standing(Struct, frozen=True):
    """Whether one has a second factor, must have one, and how many recovery codes are left."""

    active: bool
    demanded: bool
    recovery_codes: int


class SecondFactors:
    """Second factors of all accounts."""

    def __init__(
        self,
        store: Store,
        sealer: Sealer,
        session_opener: SessionOpener,
        session_ends: SessionEnds,
        world: World,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._opening = session_opener
        self._session_ends = session_ends
        self._world = world

    async def factor_status(self, caller: Caller) -> Standing:
        """The caller's second factor."""
        org, name = caller.account

        def query(tx: Tx) -> Standing:
            left = second_factors.count_recovery_codes(tx, org, name)
            return Standing(
                second_factors.has_active_factor(tx, org, name),
                account_requires_factor(tx, org, name),
                left,
            )

        return await self._store.read(query)

    async def active_holders(self, org: str, names: Sequence[str]) -> set[str]:
        """Those of these accounts of `org` that have a second factor in force."""
        return await self._store.read(lambda tx: second_factors.active_holders(tx, org, names))

    async def begin_enrolment(self, org: str, name: str) -> Enrolment:
        """Make a secret; `confirm_enrolment` puts it in force. Raises `ConflictError` if one is."""
        secret = totp.new_totp_secret()
        sealed = self._sealer.seal(secret.encode(), "second-factor", org, name)
        row = SecondFactor(org, name, sealed, False, -1, self._world.now())  # noqa: FBT003

        def change(tx: Tx) -> None:
            if second_factors.has_active_factor(tx, org, name):
                raise ConflictError(
                    "second_factor_exists",
                    "a second factor exists: replace it (POST second-factor/replacement)",
                )
            second_factors.put_factor(tx, row)

        await self._store.write(change)
        return enrolment_display(secret, org, name)

    async def confirm_enrolment(self, org: str, name: str, code: str) -> list[str]:
        """Put the secret in force with its first code; the recovery codes, shown once.

        Raises `AuthorizationError` for a wrong code, `ConflictError` where nothing was begun.
        """
        now, codes = self._world.now(), new_recovery_codes()

        def change(tx: Tx) -> bool:
            row = second_factors.get_factor(tx, org, name)
            if row is None or row.confirmed:
                raise ConflictError(
                    "second_factor_absent", "start the setup of a second factor first"
                )
            if not self._code_matches(tx, row, code, Purpose.CONFIRM_CODE, now=now):
                return False
            second_factors.put_recovery_codes(
                tx,
                org,
                name,
                [recovery_code_digest(org, name, each) for each in codes],
            )
            return True

        if not await self._store.write(change):
            raise wrong_code_error()
        return codes

    async def renew_recovery_codes(self, caller: Caller) -> list[str]:
        """Make new recovery codes; the old ones end."""
        (org, name), codes = caller.account, new_recovery_codes()

        def change(tx: Tx) -> None:
            if not second_factors.has_active_factor(tx, org, name):
                raise no_factor_error()
            second_factors.put_recovery_codes(
                tx,
                org,
                name,
                [recovery_code_digest(org, name, each) for each in codes],
            )

        await self._store.write(change)
        return codes

    async def find_half_session(self, challenge: str, need: str) -> Caller:
        """The account of a half session. Raises `AuthenticationError`."""
        now = self._world.now()
        _, user = await self._store.read(lambda tx: find_half_session(tx, challenge, need, now))
        return Caller(user.org, user.name, user.role, "")

    async def complete_login(
        self, challenge: str, code: str, way: SessionRequest
    ) -> tuple[str, Token]:
        """The whole session, for a code or a recovery code. Raises `AuthenticationError`."""
        new = self._opening.new_secrets()

        def change(tx: Tx) -> tuple[Token, list[str]] | None:
            begun, user = find_half_session(tx, challenge, SECOND_FACTOR, new.at)
            if not self.check_code(tx, user.org, user.name, code, Purpose.SIGN_IN_CODE, now=new.at):
                return None
            people.delete_token(tx, begun.org, begun.id)
            kept = {"acting": begun.acting, "sid": begun.sid}
            wanted = replace(way, trusted=True, factor=True, **kept)
            return self._opening.add_session(tx, user, wanted, new)

        made = await self._store.write(change)
        if made is None:
            raise invalid_credential()
        self._session_ends.publish_ended(made[1])
        return new.credential(made[0].kind), made[0]

    async def complete_enrolment(
        self, challenge: str, code: str, way: SessionRequest
    ) -> tuple[str, Token, list[str]]:
        """The whole session and recovery codes, for the first code of a required factor."""
        who = await self.find_half_session(challenge, ENROLMENT)
        codes = await self.confirm_enrolment(who.org, who.name, code)

        def whole(_: Tx, begun: Token) -> SessionRequest:
            return replace(way, acting=begun.acting, trusted=True, factor=True)

        secret, token = await self._opening.exchange_half_session(challenge, ENROLMENT, whole)
        return secret, token, codes

    async def verify_code(self, caller: Caller, code: str) -> bool | None:
        """Whether the code is right; None: the caller has no second factor."""
        (org, name), now = caller.account, self._world.now()

        def change(tx: Tx) -> bool | None:
            if not second_factors.has_active_factor(tx, org, name):
                return None
            return self.check_code(tx, org, name, code, Purpose.CONFIRM_CODE, now=now)

        return await self._store.write(change)

    async def remove_own(self, caller: Caller) -> None:
        """Remove the caller's own. Raises `ConflictError` where an organization requires it."""
        org, name = caller.account

        def change(tx: Tx) -> None:
            if account_requires_factor(tx, org, name):
                raise ConflictError(
                    "second_factor_demanded",
                    "an organization that you belong to requires one: to use another "
                    "authenticator, replace it (POST second-factor/replacement)",
                )
            if not second_factors.delete_factor(tx, org, name):
                raise NotFoundError("not_found", "there is no second factor")
            people.clear_factor_proof(tx, org, name)

        await self._store.write(change)

    async def reset_factor(self, by: Caller, org: str, name: str) -> None:
        """Remove another account's second factor; its credentials end.

        What the account has issued and nobody has used is withdrawn.
        """

        def change(tx: Tx) -> tuple[list[str], PublishChanges]:
            check_credential_rank(tx, by, require_user(tx, org, name))
            if not second_factors.delete_factor(tx, org, name):
                raise NotFoundError("not_found", "there is no second factor")
            clear_attempts(tx, org, name)
            ended = people.delete_tokens(tx, org, name)
            return ended, self._session_ends.withdraw_pending(tx, org, name)

        ended, publish = await self._store.write(change)
        self._session_ends.publish_ended(ended)
        publish()

    def check_code(
        self, tx: Tx, org: str, name: str, code: str, purpose: Purpose, *, now: int
    ) -> bool:
        """Whether this code of the account is right; it is used up, or counted as an attempt."""
        row = second_factors.get_factor(tx, org, name)
        if row is None or not row.confirmed:
            return False
        return self._code_matches(tx, row, code, purpose, now=now)

    def _code_matches(
        self, tx: Tx, row: SecondFactor, code: str, purpose: Purpose, *, now: int
    ) -> bool:
        org, name = row.org, row.name
        if not count_attempt(tx, org, name, purpose, now):
            return False
        secret = self._sealer.open(row.secret, "second-factor", org, name).decode()
        step = totp.matching_step(secret, code, now, row.last_step)
        if step is not None:
            second_factors.put_factor(tx, replace(row, confirmed=True, last_step=step))
        elif not (
            row.confirmed
            and second_factors.use_recovery_code(
                tx, org, name, recovery_code_digest(org, name, code)
            )
        ):
            return False
        clear_attempts(tx, org, name, purpose)
        return True


def enrolment_display(secret: str, org: str, name: str) -> Enrolment:
    """The secret as an app or person can take it."""
    uri = totp.otpauth_uri(secret, f"{org}/{name}", ISSUER)
    return Enrolment(secret, uri, totp.qr_code_svg(uri))


def no_factor_error() -> ConflictError:
    """The account has no second factor in force."""
    return ConflictError("second_factor_absent", "there is no second factor: set one up first")


def wrong_code_error() -> AuthorizationError:
    """A wrong code of a signed-in person, who stays signed in."""
    return AuthorizationError("code_wrong", "wrong code: wait for the next one")


REPLACEMENT_LIFETIME: Final = 600 * SECOND
_NEXT: Final = "next-second-factor"


class FactorReplacement:
    """Replaces the authenticator of an account by another one of the same account."""

    def __init__(
        self,
        store: Store,
        second_factors: SecondFactors,
        sealer: Sealer,
        session_ends: SessionEnds,
        world: World,
    ) -> None:
        self._store = store
        self._factors = second_factors
        self._sealer = sealer
        self._session_ends = session_ends
        self._world = world

    async def begin_replacement(self, caller: Caller, code: str) -> Enrolment:
        """Make the next secret, for ten minutes and this session; `code`: of the one in force.

        Raises `AuthorizationError` for a wrong code, `ConflictError` where nothing is in force.
        """
        (org, name), now = caller.account, self._world.now()
        secret = totp.new_totp_secret()
        sealed = self._sealer.seal(secret.encode(), _NEXT, org, name)
        row = NextFactor(org, name, sealed, caller.token, now + REPLACEMENT_LIFETIME)

        def change(tx: Tx) -> bool:
            if not second_factors.has_active_factor(tx, org, name):
                raise no_factor_error()
            if not self._factors.check_code(tx, org, name, code, Purpose.CONFIRM_CODE, now=now):
                return False
            second_factors.put_next_factor(tx, row)
            return True

        if not await self._store.write(change):
            raise wrong_code_error()
        return enrolment_display(secret, org, name)

    async def confirm_replacement(self, caller: Caller, code: str) -> list[str]:
        """Put the next one in force with its first code; the recovery codes, shown once.

        In one transaction: the old one counts until then and not after. The account's other
        sessions end; its API tokens, which show no code, stay. Raises `AuthorizationError` for a
        wrong code, `ConflictError` where this session has begun nothing lately.
        """
        (org, name), now = caller.account, self._world.now()
        codes = new_recovery_codes()

        def change(tx: Tx) -> list[str] | None:
            row = second_factors.get_next_factor(tx, org, name)
            own = row is not None and row.token == caller.token  # not secret: its id
            if (
                row is None
                or not own
                or has_expired(row.expires_at - REPLACEMENT_LIFETIME, row.expires_at, now)
            ):
                raise ConflictError(
                    "replacement_absent",
                    "start again: ten minutes are over, or another session started it",
                )
            changed = self._change_over(tx, row, code, now)
            if changed is None:
                return None
            second_factors.put_factor(tx, changed)
            second_factors.put_recovery_codes(
                tx,
                org,
                name,
                [recovery_code_digest(org, name, each) for each in codes],
            )
            second_factors.delete_next_factor(tx, org, name)
            return _end_others(tx, caller)

        ended = await self._store.write(change)
        if ended is None:
            raise wrong_code_error()
        self._session_ends.publish_ended(ended)
        return codes

    def _change_over(self, tx: Tx, row: NextFactor, code: str, now: int) -> SecondFactor | None:
        """Put the next one in force if the code is right; the attempt is counted."""
        org, name = row.org, row.name
        if not count_attempt(tx, org, name, Purpose.CONFIRM_CODE, now):
            return None
        secret = self._sealer.open(row.secret, _NEXT, org, name)
        step = totp.matching_step(secret.decode(), code, now, -1)
        if step is None:
            return None
        clear_attempts(tx, org, name, Purpose.CONFIRM_CODE)
        sealed = self._sealer.seal(secret, "second-factor", org, name)
        return SecondFactor(org, name, sealed, confirmed=True, last_step=step, created_at=now)


def _end_others(tx: Tx, caller: Caller) -> list[str]:
    """End the account's other sessions; their ids."""
    org, name = caller.account
    gone = [
        token.id
        for token in people.list_tokens(tx, org, name)
        if token.kind is not TokenKind.API and token.id != caller.token
    ]
    for token_id in gone:
        people.delete_token(tx, org, token_id)
    return gone
