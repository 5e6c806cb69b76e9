"""Second factors: set up, shown, taken away.

Codes have a lock of their own, beside that of passwords: five wrong ones, and none is looked at for
15 minutes. An attempt is counted in the transaction that looks at it.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors import World
from control.authn import recovery, totp
from control.authn.attempts import Purpose, forget, may_try
from control.authn.endings import Endings
from control.authn.opening import ENROLMENT, SECOND_FACTOR, Opening, Way, demanded_of, half
from control.authn.sessions import refused
from control.authn.users import check_credentials, found_user
from control.crypto import Sealer
from control.errors import AuthorizationError, ConflictError, NotFoundError
from control.model.factors import SecondFactor
from control.model.people import Caller, Token
from control.store import factors, people
from control.store.rows import Tx
from control.store.store import Store

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


class Factors:
    """Everybody's."""

    def __init__(
        self, store: Store, sealer: Sealer, opening: Opening, ends: Endings, world: World
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._opening = opening
        self._ends = ends
        self._world = world

    async def standing(self, caller: Caller) -> Standing:
        """The caller's."""
        org, name = caller.account

        def query(tx: Tx) -> Standing:
            left = factors.count_codes(tx, org, name)
            return Standing(factors.is_active(tx, org, name), demanded_of(tx, org, name), left)

        return await self._store.read(query)

    async def holders(self, org: str, names: Sequence[str]) -> set[str]:
        """Which of these accounts of `org` have one in force."""
        return await self._store.read(lambda tx: factors.holders(tx, org, names))

    async def begin(self, org: str, name: str) -> Enrolment:
        """A new secret, not in force before `confirm`. Raises `ConflictError` if one is."""
        secret = totp.new_secret()
        sealed = self._sealer.seal(secret.encode(), "second-factor", org, name)
        row = SecondFactor(org, name, sealed, False, -1, self._world.now())  # noqa: FBT003

        def change(tx: Tx) -> None:
            if factors.is_active(tx, org, name):
                raise ConflictError(
                    "second_factor_exists",
                    "one is in force: replace it (POST second-factor/replacement)",
                )
            factors.put_factor(tx, row)

        await self._store.write(change)
        return enrolment(secret, org, name)

    async def confirm(self, org: str, name: str, code: str) -> list[str]:
        """Put it in force, with the first code from it; the recovery codes, shown once.

        Raises `AuthorizationError` for a wrong code, `ConflictError` where nothing was begun.
        """
        now, codes = self._world.now(), recovery.new_codes()

        def change(tx: Tx) -> bool:
            row = factors.factor(tx, org, name)
            if row is None or row.confirmed:
                raise ConflictError("second_factor_absent", "begin to set up a second factor first")
            if not self._fits(tx, row, code, Purpose.CONFIRM_CODE, now=now):
                return False
            factors.put_codes(tx, org, name, [recovery.digest(org, name, each) for each in codes])
            return True

        if not await self._store.write(change):
            raise wrong_code()
        return codes

    async def new_codes(self, caller: Caller) -> list[str]:
        """Other recovery codes; those before are worth nothing."""
        (org, name), codes = caller.account, recovery.new_codes()

        def change(tx: Tx) -> None:
            if not factors.is_active(tx, org, name):
                raise no_factor()
            factors.put_codes(tx, org, name, [recovery.digest(org, name, each) for each in codes])

        await self._store.write(change)
        return codes

    async def half(self, challenge: str, need: str) -> Caller:
        """Whose half session this is. Raises `AuthenticationError`."""
        now = self._world.now()
        _, user = await self._store.read(lambda tx: half(tx, challenge, need, now))
        return Caller(user.org, user.name, user.role, "")

    async def finish(self, challenge: str, code: str, way: Way) -> tuple[str, Token]:
        """The whole session, for a code (also one for recovery). Raises `AuthenticationError`."""
        new = self._opening.mint()

        def change(tx: Tx) -> tuple[Token, list[str]] | None:
            begun, user = half(tx, challenge, SECOND_FACTOR, new.at)
            if not self.shown(tx, user.org, user.name, code, Purpose.SIGN_IN_CODE, now=new.at):
                return None
            people.drop_token(tx, begun.org, begun.id)
            kept = {"acting": begun.acting, "sid": begun.sid}
            wanted = replace(way, trusted=True, factor=True, **kept)
            return self._opening.add(tx, user, wanted, new)

        made = await self._store.write(change)
        if made is None:
            raise refused()
        self._ends.tell(made[1])
        return new.credential(made[0].kind), made[0]

    async def set_up(self, challenge: str, code: str, way: Way) -> tuple[str, Token, list[str]]:
        """The whole session and recovery codes, for the first code of a factor one had to have."""
        who = await self.half(challenge, ENROLMENT)
        codes = await self.confirm(who.org, who.name, code)

        def whole(_: Tx, begun: Token) -> Way:
            return replace(way, acting=begun.acting, trusted=True, factor=True)

        secret, token = await self._opening.exchange(challenge, ENROLMENT, whole)
        return secret, token, codes

    async def prove(self, caller: Caller, code: str) -> bool | None:
        """Whether the code is the caller's; None: the caller has no second factor."""
        (org, name), now = caller.account, self._world.now()

        def change(tx: Tx) -> bool | None:
            if not factors.is_active(tx, org, name):
                return None
            return self.shown(tx, org, name, code, Purpose.CONFIRM_CODE, now=now)

        return await self._store.write(change)

    async def remove(self, caller: Caller) -> None:
        """Take away the caller's own. Raises `ConflictError` where it is demanded."""
        org, name = caller.account

        def change(tx: Tx) -> None:
            if demanded_of(tx, org, name):
                raise ConflictError(
                    "second_factor_demanded",
                    "an organization that you belong to demands one: for another authenticator"
                    " replace it (POST second-factor/replacement)",
                )
            if not factors.drop_factor(tx, org, name):
                raise NotFoundError("not_found", "there is no second factor")
            people.forget_factor(tx, org, name)

        await self._store.write(change)

    async def reset(self, by: Caller, org: str, name: str) -> None:
        """Take it from somebody who lost it; every credential of theirs ends."""

        def change(tx: Tx) -> list[str]:
            check_credentials(tx, by, found_user(tx, org, name))
            if not factors.drop_factor(tx, org, name):
                raise NotFoundError("not_found", "there is no second factor")
            forget(tx, org, name)
            return people.drop_tokens_of(tx, org, name)

        self._ends.tell(await self._store.write(change))

    def shown(self, tx: Tx, org: str, name: str, code: str, purpose: Purpose, *, now: int) -> bool:
        """Whether this code of the account counts; it is used up, or counted as an attempt."""
        row = factors.factor(tx, org, name)
        if row is None or not row.confirmed:
            return False
        return self._fits(tx, row, code, purpose, now=now)

    def _fits(self, tx: Tx, row: SecondFactor, code: str, purpose: Purpose, *, now: int) -> bool:
        org, name = row.org, row.name
        if not may_try(tx, org, name, purpose, now):
            return False
        secret = self._sealer.open(row.secret, "second-factor", org, name).decode()
        step = totp.step_of(secret, code, now, row.last_step)
        if step is not None:
            factors.put_factor(tx, replace(row, confirmed=True, last_step=step))
        elif not (
            row.confirmed and factors.use_code(tx, org, name, recovery.digest(org, name, code))
        ):
            return False
        forget(tx, org, name, purpose)
        return True


def enrolment(secret: str, org: str, name: str) -> Enrolment:
    """What shows this secret to the account's person."""
    uri = totp.uri(secret, f"{org}/{name}", ISSUER)
    return Enrolment(secret, uri, totp.picture(uri))


def no_factor() -> ConflictError:
    """For what takes one in force."""
    return ConflictError("second_factor_absent", "there is no second factor: set one up first")


def wrong_code() -> AuthorizationError:
    """For somebody who is signed in, and stays so."""
    return AuthorizationError("code_wrong", "this code does not count; wait for the next one")
