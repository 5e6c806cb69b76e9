"""Passwords of users at targets, and how a rotator draws."""

import string
from collections.abc import Callable
from typing import Final

from msgspec import Struct

_SHORTEST: Final = 16
_LONGEST: Final = 128
_FEWEST: Final = 10  # characters in the alphabet: 16 of them are 53 bits
_FIRST_PRINTABLE: Final = "!"
_LAST_PRINTABLE: Final = "~"


def below(random: Callable[[int], bytes], bound: int) -> int:
    """A number in [0, bound), each equally likely: larger ones are drawn again."""
    bits = (bound - 1).bit_length()
    size = (bits + 7) // 8
    while True:
        drawn = int.from_bytes(random(size), "big") >> (8 * size - bits) if bits else 0
        if drawn < bound:
            return drawn


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
        """A password."""
        count = len(self.alphabet)
        return "".join(self.alphabet[below(random, count)] for _ in range(self.length))
