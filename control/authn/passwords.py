"""Passwords as Argon2id hashes (RFC 9106), computed in threads, a few at a time.

One hash takes 64 MiB and about 100 ms; without a limit a burst of logins would take all memory.
Requests that need one queue, shared fairly among organizations and, for anonymous ones, addresses.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from actors import World
from actors.errors import LimiterFull
from actors.fair_limiter import FairLimiter, Share
from control.errors import RateLimitError, UnavailableError, ValidationError

MAX_CONCURRENT_HASHES: Final = 2
MAX_TURNS: Final = 4
"""Requests at once. Twice as many as compute: the others read and write before and after it."""
RETRY_AFTER: Final = 10  # seconds
_GROUP: Final = Share(3, 64)
_MEMBER: Final = Share(2, 32)
_MAX_WAITING: Final = 512
MIN_LENGTH: Final = 12  # NIST SP 800-63B-4 asks for 15 of a password alone, 8 beside another factor
MAX_LENGTH: Final = 1024
_DUMMY_PASSWORD: Final = "the password of nobody"


class Passwords:
    """Hashes and checks passwords.

    `hasher`: argon2-cffi's defaults are RFC 9106's second choice.
    """

    def __init__(self, world: World, hasher: PasswordHasher | None = None) -> None:
        self.world = world
        self._hasher = hasher or PasswordHasher()
        self._limiter = trio.CapacityLimiter(MAX_CONCURRENT_HASHES)
        self._turns = FairLimiter(MAX_TURNS, group=_GROUP, member=_MEMBER, waiting=_MAX_WAITING)
        self._dummy = ""

    @asynccontextmanager
    async def hash_turn(self, group: str, member: str) -> AsyncIterator[None]:
        """Hold a turn for a request that computes a hash; taken before the request does anything.

        A request whose client has gone is cancelled while it waits, and computes nothing. Raises
        `RateLimitError` or `UnavailableError` when too many wait already.
        """
        try:
            async with self._turns.slot(group, member):
                yield
        except LimiterFull as full:
            if full.own:
                raise RateLimitError(
                    "too_many_logins",
                    "too many passwords from this address or organization wait to be checked: "
                    "wait and try again",
                    retry_after=RETRY_AFTER,
                ) from None
            raise UnavailableError(
                "passwords_busy", "too many passwords wait to be checked: wait and try again"
            ) from None

    async def hash_password(self, password: str) -> str:
        """The PHC string to store. Raises `ValidationError` for one that is too short or long."""
        return await self._hash(check_length(password))

    async def is_match(self, stored: str | None, password: str) -> bool:
        """Whether the password is right; takes as long where nothing is stored."""
        if not self._dummy:
            self._dummy = await self._hash(_DUMMY_PASSWORD)
        fine = await self.world.run_sync(
            self._verify, stored or self._dummy, password, limiter=self._limiter
        )
        return fine and stored is not None

    async def _hash(self, password: str) -> str:
        return await self.world.run_sync(
            self._hasher.hash, password.encode("utf-8", "surrogatepass"), limiter=self._limiter
        )

    def _verify(self, stored: str, password: str) -> bool:
        given = password[: MAX_LENGTH + 1].encode("utf-8", "surrogatepass")
        try:
            return self._hasher.verify(stored, given)
        except (VerificationError, InvalidHashError):
            return False


def check_length(password: str) -> str:
    """The password. Raises `ValidationError` for one that is too short or long."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise ValidationError(
            "password_invalid",
            f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters",
            field="password",
        )
    return password
