"""Generated values: their shape, and that each is equally likely."""

import math
import os
import string
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from vault.errors import ValidationError
from vault.rotation.rotator import RotationContext
from vault.rotation.rotators.generated import KIND, MAX_LENGTH
from vault.rotation.targets.password import below


def create(
    config: Mapping[str, object], previous: Mapping[str, str] | None = None
) -> dict[str, str]:
    """A value by these settings."""
    rotator = KIND.make(KIND.parse(config))
    context = RotationContext("rotation", 1, 5.0, {}, os.urandom)
    return dict(rotator.create(context, previous or {}))


def small(config: Mapping[str, object]) -> dict[str, object]:
    """The same with a floor that does not matter."""
    return {"minimum_entropy": 1, **config}


@given(
    length=st.integers(1, MAX_LENGTH),
    minimums=st.lists(st.none() | st.integers(0, 10), min_size=4, max_size=4),
    exclude=st.text(string.ascii_letters + string.digits + string.punctuation, max_size=20),
)
def test_a_password_keeps_its_minimums_and_has_no_excluded_character(
    length: int, minimums: list[int | None], exclude: str
) -> None:
    """Whatever settings are accepted."""
    names = ("lowercase", "uppercase", "digits", "symbols")
    config = small(
        {"length": length, "exclude": exclude, **dict(zip(names, minimums, strict=True))}
    )
    try:
        parsed = KIND.parse(config)
    except ValidationError:
        reject()
    password = create(config)["password"]
    assert len(password) == length
    assert not set(password) & set(exclude)
    assert set(password) <= {c for each in parsed.classes() for c in each.characters}
    for each in parsed.classes():
        assert sum(c in each.characters for c in password) >= each.minimum


def test_every_password_is_equally_likely() -> None:
    """All of those that the minimums allow, by a chi-squared test at a level of 10^-6."""
    config = small(
        {"length": 3, "lowercase": None, "uppercase": None, "digits": 1, "symbols": 1,
         "symbol_characters": "+-", "exclude": "3456789"}
    )  # fmt: skip
    possible = 5**3 - 3**3 - 2**3
    assert KIND.parse(config).entropy() == pytest.approx(math.log2(possible))
    rotator = KIND.make(KIND.parse(config))
    context = RotationContext("rotation", 1, 5.0, {}, os.urandom)
    each = 200
    found = Counter(rotator.create(context, {})["password"] for _ in range(possible * each))
    assert len(found) == possible
    chi = sum((count - each) ** 2 / each for count in found.values())
    freedom = possible - 1
    assert chi < freedom + 5.5 * math.sqrt(2 * freedom)


def test_below_draws_again_what_is_too_large() -> None:
    """A remainder would make small numbers likelier."""
    drawn = iter([b"\xff", b"\xc0", b"\x40"])
    assert below(lambda _size: next(drawn), 3) == 1
    assert below(lambda _size: pytest.fail("drawn"), 1) == 0


def test_a_passphrase_is_words_that_can_be_said() -> None:
    """Six words of five letters have 96 bits."""
    words = create({"form": "passphrase"})["password"].split("-")
    assert [len(word) for word in words] == [5] * 6
    for word in words:
        assert set(word[0::2]) <= set("bdfghjklmnprstvz")
        assert set(word[1::2]) <= set("aiou")
    assert KIND.parse({"form": "passphrase"}).entropy() == 96
    assert create(small({"form": "passphrase", "words": 2, "separator": ""}))["password"].isalpha()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"length": 12}, "bits of entropy"),
        ({"form": "passphrase", "words": 4}, "bits of entropy"),
        ({"length": 30, "lowercase": None, "uppercase": None, "digits": 0, "exclude": "23456789"},
         "bits of entropy"),
        ({"lowercase": 20, "uppercase": 20}, "add up"),
        ({"digits": 1, "exclude": string.digits}, "excluded"),
        ({"lowercase": None, "uppercase": None, "digits": None}, "no character is left"),
        ({"keep": ["password"]}, "keep"),
        ({"length": 129}, "length"),
        ({"lenght": 32}, "lenght"),
        ({"separator": "\n"}, "printable"),
    ],
)  # fmt: skip
def test_settings_that_make_no_good_value_are_refused(config: dict[str, object], said: str) -> None:
    """When they are written, not when a rotation is due."""
    with pytest.raises(ValidationError, match=said) as caught:
        KIND.parse(config)
    assert caught.value.code == "rotator_config"


def test_other_fields_are_kept() -> None:
    """All, or those that are named; the generated one never."""
    previous = {"username": "app", "note": "x", "password": "old"}
    every = create({}, previous)
    assert every.pop("password") != "old"
    assert every == {"username": "app", "note": "x"}
    assert create({"keep": ["username", "absent"]}, previous).keys() == {"username", "password"}
    assert create({"keep": [], "field": "token"}, previous).keys() == {"token"}
