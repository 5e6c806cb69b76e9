"""Another authenticator in place of the one in force, which counts until the new one's first code.

An organization may demand a second factor: then nobody takes it away to set up another, and nobody
has to be without one in between. Who begins shows the old one, or a recovery code.
"""

from typing import Final

from actors import World
from actors.slewed_clock import is_early
from control.authn import recovery, totp
from control.authn.attempts import Purpose, forget, may_try
from control.authn.endings import Endings
from control.authn.factors import (
    Enrolment,
    Factors,
    enrolment,
    no_factor,
    wrong_code,
)
from control.crypto import Sealer
from control.errors import ConflictError
from control.model.factors import NextFactor, SecondFactor
from control.model.people import Caller, TokenKind
from control.store import factors, people
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import SECOND

LIFE: Final = 600 * SECOND
_NEXT: Final = "next-second-factor"


class Replacement:
    """Everybody's own."""

    def __init__(
        self, store: Store, factors_: Factors, sealer: Sealer, ends: Endings, world: World
    ) -> None:
        self._store = store
        self._factors = factors_
        self._sealer = sealer
        self._ends = ends
        self._world = world

    async def begin(self, caller: Caller, code: str) -> Enrolment:
        """The next secret, for ten minutes and this credential; `code`: of what is in force.

        Raises `AuthorizationError` for a wrong code, `ConflictError` where nothing is in force.
        """
        (org, name), now = caller.account, self._world.now()
        secret = totp.new_secret()
        sealed = self._sealer.seal(secret.encode(), _NEXT, org, name)
        row = NextFactor(org, name, sealed, caller.token, now + LIFE)

        def change(tx: Tx) -> bool:
            if not factors.is_active(tx, org, name):
                raise no_factor()
            if not self._factors.shown(tx, org, name, code, Purpose.CONFIRM_CODE, now=now):
                return False
            factors.put_next(tx, row)
            return True

        if not await self._store.write(change):
            raise wrong_code()
        return enrolment(secret, org, name)

    async def confirm(self, caller: Caller, code: str) -> list[str]:
        """Change over, with the new one's first code; the recovery codes, shown once.

        In one transaction: the old one counts until then and not after. The account's other
        sessions end; its API tokens, which show no code, stay. Raises `AuthorizationError` for a
        wrong code, `ConflictError` where this credential has begun nothing lately.
        """
        (org, name), now = caller.account, self._world.now()
        codes = recovery.new_codes()

        def change(tx: Tx) -> list[str] | None:
            row = factors.next_factor(tx, org, name)
            own = row is not None and row.token == caller.token  # not secret: its id
            if row is None or not own or not _is_open(row, now):
                raise ConflictError(
                    "replacement_absent",
                    "begin anew: ten minutes are over, or another session began it",
                )
            changed = self._changed(tx, row, code, now)
            if changed is None:
                return None
            factors.put_factor(tx, changed)
            factors.put_codes(tx, org, name, [recovery.digest(org, name, each) for each in codes])
            factors.drop_next(tx, org, name)
            return _end_others(tx, caller)

        ended = await self._store.write(change)
        if ended is None:
            raise wrong_code()
        self._ends.tell(ended)
        return codes

    def _changed(self, tx: Tx, row: NextFactor, code: str, now: int) -> SecondFactor | None:
        """The next one in force, if the code is its own; the attempt counts."""
        org, name = row.org, row.name
        if not may_try(tx, org, name, Purpose.CONFIRM_CODE, now):
            return None
        secret = self._sealer.open(row.secret, _NEXT, org, name)
        step = totp.step_of(secret.decode(), code, now, -1)
        if step is None:
            return None
        forget(tx, org, name, Purpose.CONFIRM_CODE)
        sealed = self._sealer.seal(secret, "second-factor", org, name)
        return SecondFactor(org, name, sealed, confirmed=True, last_step=step, created_at=now)


def _end_others(tx: Tx, caller: Caller) -> list[str]:
    """End what the account is signed in with elsewhere; the ids."""
    org, name = caller.account
    gone = [
        token.id
        for token in people.tokens_of(tx, org, name)
        if token.kind is not TokenKind.API and token.id != caller.token
    ]
    for token_id in gone:
        people.drop_token(tx, org, token_id)
    return gone


def _is_open(row: NextFactor, now: int) -> bool:
    return now < row.expires_at and not is_early(row.expires_at - LIFE, now)
