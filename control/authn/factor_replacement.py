"""Another authenticator in place of the one in force, which counts until the new one's first code.

An organization may demand a second factor: then nobody takes it away to set up another, and nobody
has to be without one in between. Who begins shows the old one, or a recovery code.
"""

from typing import Final

from actors import World
from actors.slewed_clock import is_early
from control.authn import recovery_code, totp
from control.authn.attempts import Purpose, clear_attempts, count_attempt
from control.authn.second_factors import (
    Enrolment,
    SecondFactors,
    enrolment_display,
    no_factor_error,
    wrong_code_error,
)
from control.authn.session_ends import SessionEnds
from control.crypto import Sealer
from control.errors import ConflictError
from control.model.identity import NextFactor, SecondFactor
from control.model.people import Caller, TokenKind
from control.store import people, second_factors
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import SECOND

REPLACEMENT_LIFETIME: Final = 600 * SECOND
_NEXT: Final = "next-second-factor"


class FactorReplacement:
    """Everybody's own."""

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
        self._ends = session_ends
        self._world = world

    async def begin_replacement(self, caller: Caller, code: str) -> Enrolment:
        """The next secret, for ten minutes and this credential; `code`: of what is in force.

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
        """Change over, with the new one's first code; the recovery codes, shown once.

        In one transaction: the old one counts until then and not after. The account's other
        sessions end; its API tokens, which show no code, stay. Raises `AuthorizationError` for a
        wrong code, `ConflictError` where this credential has begun nothing lately.
        """
        (org, name), now = caller.account, self._world.now()
        codes = recovery_code.new_recovery_codes()

        def change(tx: Tx) -> list[str] | None:
            row = second_factors.get_next_factor(tx, org, name)
            own = row is not None and row.token == caller.token  # not secret: its id
            if row is None or not own or not _is_open(row, now):
                raise ConflictError(
                    "replacement_absent",
                    "begin anew: ten minutes are over, or another session began it",
                )
            changed = self._change_over(tx, row, code, now)
            if changed is None:
                return None
            second_factors.put_factor(tx, changed)
            second_factors.put_recovery_codes(
                tx,
                org,
                name,
                [recovery_code.recovery_code_digest(org, name, each) for each in codes],
            )
            second_factors.delete_next_factor(tx, org, name)
            return _end_others(tx, caller)

        ended = await self._store.write(change)
        if ended is None:
            raise wrong_code_error()
        self._ends.publish_ended(ended)
        return codes

    def _change_over(self, tx: Tx, row: NextFactor, code: str, now: int) -> SecondFactor | None:
        """The next one in force, if the code is its own; the attempt counts."""
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
    """End what the account is signed in with elsewhere; the ids."""
    org, name = caller.account
    gone = [
        token.id
        for token in people.list_tokens(tx, org, name)
        if token.kind is not TokenKind.API and token.id != caller.token
    ]
    for token_id in gone:
        people.delete_token(tx, org, token_id)
    return gone


def _is_open(row: NextFactor, now: int) -> bool:
    return now < row.expires_at and not is_early(row.expires_at - REPLACEMENT_LIFETIME, now)
