"""`generated`: a password or a passphrase that is made here and changed at no target.

For what an application reads and nobody else has to accept: signing keys, pepper, tokens of its own
API. Every value that the settings allow is equally likely.
"""

import math
import string
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from vault.rotation.rotator import RotationContext, RotatorKind, Value
from vault.rotation.targets.password import below

MAX_LENGTH: Final = 128
MAX_WORDS: Final = 32
MINIMUM_ENTROPY: Final = 80
"""Bits. An attacker who has the hash of a value and 10^12 guesses a second needs 38,000 years."""

_SYMBOLS: Final = "!#$%&()*+,-./:;<=>?@[]^_{|}~"  # no quotes, backslash or space: shells, files
_CONSONANTS: Final = "bdfghjklmnprstvz"
_VOWELS: Final = "aiou"
_WORD: Final = (_CONSONANTS, _VOWELS, _CONSONANTS, _VOWELS, _CONSONANTS)
"""A proquint (arXiv:0901.4016): five letters that can be pronounced, 16 bits, no list of words."""

Count = Annotated[int, Meta(ge=0, le=MAX_LENGTH)]


class CharacterClass(Struct, frozen=True):
    """Characters of one kind, and how many of them there are at least."""

    characters: str
    minimum: int


class GeneratedConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of `generated`. A minimum of None leaves the class out."""

    form: Literal["password", "passphrase"] = "password"
    field: Annotated[str, Meta(min_length=1, max_length=128)] = "password"
    keep: tuple[str, ...] | None = None
    """The other fields of the previous value that the new one has too. None: all of them."""
    length: Annotated[int, Meta(ge=1, le=MAX_LENGTH)] = 32
    lowercase: Count | None = 1
    uppercase: Count | None = 1
    digits: Count | None = 1
    symbols: Count | None = None
    symbol_characters: Annotated[str, Meta(min_length=1, max_length=64)] = _SYMBOLS
    exclude: Annotated[str, Meta(max_length=128)] = ""
    words: Annotated[int, Meta(ge=1, le=MAX_WORDS)] = 6
    separator: Annotated[str, Meta(max_length=4)] = "-"
    minimum_entropy: Annotated[int, Meta(ge=1, le=4096)] = MINIMUM_ENTROPY

    def __post_init__(self) -> None:
        if self.keep is not None and self.field in self.keep:
            raise ValueError("`keep` names the field that is generated: leave it out")
        if not all(c.isprintable() for c in self.symbol_characters + self.separator):
            raise ValueError("symbols and separator must be printable characters")
        if self.form == "password":
            self._check_classes()
        bits = self.entropy()
        if bits < self.minimum_entropy:
            raise ValueError(
                f"these settings give {bits:.1f} bits of entropy and {self.minimum_entropy} are "
                "wanted: make it longer, allow more characters, or lower `minimum_entropy`"
            )

    def _check_classes(self) -> None:
        classes = self.classes()
        if not classes:
            raise ValueError("no character is left: allow a class")
        if any(not each.characters and each.minimum for each in classes):
            raise ValueError("a class with a minimum has all of its characters excluded")
        if sum(each.minimum for each in classes) > self.length:
            raise ValueError("the minimums add up to more than the length")

    def classes(self) -> list[CharacterClass]:
        """The classes, disjoint, without the excluded characters."""
        of: list[tuple[str, int | None]] = [
            (string.ascii_lowercase, self.lowercase),
            (string.ascii_uppercase, self.uppercase),
            (string.digits, self.digits),
            (self.symbol_characters, self.symbols),
        ]
        taken = set(self.exclude)
        found = []
        for characters, minimum in of:
            if minimum is None:
                continue
            left = "".join(c for c in dict.fromkeys(characters) if c not in taken)
            taken.update(left)
            if left or minimum:
                found.append(CharacterClass(left, minimum))
        return found

    def entropy(self) -> float:
        """Bits: the logarithm of the number of values, each of which is equally likely."""
        if self.form == "passphrase":
            return self.words * sum(math.log2(len(letters)) for letters in _WORD)
        total = _arrangements(self.classes(), self.length)[0][self.length]
        return math.log2(total) if total else 0.0


class GeneratedRotator:
    """See `Rotator`. There is no target: `apply`, `verify` and `retire` have nothing to do."""

    def __init__(self, config: GeneratedConfig) -> None:
        self._config = config

    def create(self, context: RotationContext, previous: Value) -> Value:
        """The kept fields, and the new one."""
        config = self._config
        kept = previous.keys() - {config.field} if config.keep is None else set(config.keep)
        make = _passphrase if config.form == "passphrase" else _password
        value = {name: previous[name] for name in previous if name in kept}
        return {**value, config.field: make(config, context.random)}

    def apply(self, context: RotationContext, value: Value) -> None:
        """Nothing to change."""

    def verify(self, context: RotationContext, value: Value) -> None:
        """Nothing to log in at."""

    def retire(self, context: RotationContext, value: Value) -> None:
        """Nobody but the applications knows the value."""


def _passphrase(config: GeneratedConfig, random: Callable[[int], bytes]) -> str:
    words = (
        "".join(letters[below(random, len(letters))] for letters in _WORD)
        for _ in range(config.words)
    )
    return config.separator.join(words)


def _password(config: GeneratedConfig, random: Callable[[int], bytes]) -> str:
    """Of all strings with these minimums one: how many of each class, which, and in what order."""
    classes = config.classes()
    ways = _arrangements(classes, config.length)
    left = config.length
    drawn: list[str] = []
    for index, each in enumerate(classes):
        choice = below(random, ways[index][left])
        count = each.minimum
        while choice >= (weight := _weight(each, left, count) * ways[index + 1][left - count]):
            choice -= weight
            count += 1
        size = len(each.characters)
        drawn += [each.characters[below(random, size)] for _ in range(count)]
        left -= count
    for last in range(len(drawn) - 1, 0, -1):  # Fisher and Yates
        other = below(random, last + 1)
        drawn[last], drawn[other] = drawn[other], drawn[last]
    return "".join(drawn)


def _arrangements(classes: Sequence[CharacterClass], length: int) -> list[list[int]]:
    """`[i][n]`: how many strings of length n the classes from i on make, minimums kept."""
    ways = [[1] + [0] * length]
    for each in reversed(classes):
        after = ways[0]
        ways.insert(
            0,
            [
                sum(_weight(each, n, k) * after[n - k] for k in range(each.minimum, n + 1))
                for n in range(length + 1)
            ],
        )
    return ways


def _weight(each: CharacterClass, places: int, count: int) -> int:
    """In how many ways so many characters of a class are put into so many places."""
    return math.comb(places, count) * int(len(each.characters) ** count)


KIND: Final = RotatorKind("generated", GeneratedConfig, GeneratedRotator, lambda _config: True)
