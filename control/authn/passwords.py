"""Passwords as Argon2id hashes (RFC 9106), computed in threads, a few at a time.

One hash takes 64 MiB and about 100 ms; without a limit a burst of logins would take all memory.
"""

from typing import Final

import trio
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from actors import World
from control.errors import ValidationError

AT_ONCE: Final = 2
MIN_LENGTH: Final = 12  # NIST SP 800-63B-4 asks for 15 of a password alone, 8 beside another factor
MAX_LENGTH: Final = 1024
_NOBODYS: Final = "the password of nobody"


class Passwords:
    """Hashes and checks. `hasher`: argon2-cffi's defaults are RFC 9106's second choice."""

    def __init__(self, world: World, hasher: PasswordHasher | None = None) -> None:
        self.world = world
        self._hasher = hasher or PasswordHasher()
        self._limiter = trio.CapacityLimiter(AT_ONCE)
        self._dummy = ""

    async def hash(self, password: str) -> str:
        """The PHC string to store. Raises `ValidationError` for one that is too short or long."""
        if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
            raise ValidationError(
                "password_invalid",
                f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters",
                field="password",
            )
        return await self._hash(password)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether it is the one; the same work when nothing is stored."""
        if not self._dummy:
            self._dummy = await self._hash(_NOBODYS)
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
