"""Passwords that rotators generate."""

import string
from collections.abc import Callable
from typing import Final

from msgspec import Struct

_SHORTEST: Final = 16
_LONGEST: Final = 128
_FEWEST: Final = 10  # characters in the alphabet: 16 of them are 53 bits
_FIRST_PRINTABLE: Final = "!"
_LAST_PRINTABLE: Final = "~"


class PasswordRules(Struct, frozen=True, forbid_unknown_fields=True):
    """How a password is generated: `length` characters of `alphabet`, each as likely as another."""

    length: int = 32
    alphabet: str = string.ascii_letters + string.digits

    def __post_init__(self) -> None:
        if not _SHORTEST <= self.length <= _LONGEST:
            raise ValueError(f"a password's length is {_SHORTEST} to {_LONGEST}")
        if len(set(self.alphabet)) != len(self.alphabet) or len(self.alphabet) < _FEWEST:
            raise ValueError(f"an alphabet has {_FEWEST} characters or more, each once")
        if not all(_FIRST_PRINTABLE <= sign <= _LAST_PRINTABLE for sign in self.alphabet):
            raise ValueError("an alphabet has printable ASCII characters, without the space")

    def generate(self, random: Callable[[int], bytes]) -> str:
        """A password. Bytes that would favor some characters are drawn anew."""
        count = len(self.alphabet)
        limit = 256 - 256 % count
        found: list[str] = []
        while len(found) < self.length:
            drawn = random(2 * self.length)
            found += [self.alphabet[byte % count] for byte in drawn if byte < limit]
        return "".join(found[: self.length])
