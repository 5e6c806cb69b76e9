"""What people choose, as Argon2id hashes (RFC 9106), computed in threads, a few at a time.

One hash takes 19 MiB and some 30 ms; addresses queue fairly, so that nobody's guesses hold up
another one's login.
"""

from typing import Final

import trio
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from actors.errors import LimiterFull
from actors.fair_limiter import FairLimiter, Share
from actors.world import World
from protocols.client_network import client_network
from vault.errors import UnavailableError, ValidationError

MAX_CONCURRENT: Final = 2
MAX_LENGTH: Final = 1024
_MEMORY: Final = 19 * 1024  # KiB; with two passes OWASP's first choice for Argon2id
_MOUNT: Final = Share(2, 96)
_ADDRESS: Final = Share(1, 32)
_MAX_WAITING: Final = 256
_DUMMY: Final = "the password of nobody"


class PasswordHashes:
    """Hashes and checks passwords; the same work where nothing is stored."""

    def __init__(self, world: World, hasher: PasswordHasher | None = None) -> None:
        self._world = world
        self._hasher = hasher or PasswordHasher(time_cost=2, memory_cost=_MEMORY, parallelism=1)
        self._threads = trio.CapacityLimiter(MAX_CONCURRENT)
        self._turns = FairLimiter(
            MAX_CONCURRENT, group=_MOUNT, member=_ADDRESS, waiting=_MAX_WAITING
        )
        self._dummy = ""

    async def hash_password(self, password: str) -> str:
        """The PHC string to store. Raises `ValidationError` for one that is empty or too long."""
        if not password or len(password) > MAX_LENGTH:
            raise ValidationError(
                "password_invalid", f"a password has 1 to {MAX_LENGTH} characters", field="password"
            )
        return await self._hash(password)

    async def is_match(self, stored: str, password: str, *, mount: str, address: str) -> bool:
        """Whether the password is right; no, after the same work, where `stored` is empty.

        Raises `UnavailableError` (`passwords_busy`) when too many wait.
        """
        if not self._dummy:
            self._dummy = await self._hash(_DUMMY)
        try:
            async with self._turns.slot(mount, client_network(address)):
                fine = await self._world.run_sync(
                    self._verify, stored or self._dummy, password, limiter=self._threads
                )
        except LimiterFull:
            raise UnavailableError(
                "passwords_busy", "too many passwords wait to be checked: wait and try again"
            ) from None
        return fine and bool(stored)

    async def _hash(self, password: str) -> str:
        return await self._world.run_sync(
            self._hasher.hash, password.encode("utf-8", "surrogatepass"), limiter=self._threads
        )

    def _verify(self, stored: str, password: str) -> bool:
        given = password[: MAX_LENGTH + 1].encode("utf-8", "surrogatepass")
        try:
            return self._hasher.verify(stored, given)
        except (VerificationError, InvalidHashError):
            return False
