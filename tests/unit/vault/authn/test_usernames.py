"""User names: one spelling each, and no look-alike of another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.authn.users import username_key
from vault.errors import ValidationError
from vault.model.fold import fold_text


@pytest.mark.parametrize(
    "name",
    ["ann", "Ann.Smith", "ann@example.org", "ci-runner_7", "j\u00fcrgen",
     "\u0438\u0432\u0430\u043d", "\u5f20\u4f1f", "7up", "\u03b1\u03b2\u03b3-1"],
)  # fmt: skip
def test_accepted(name: str) -> None:
    """Names of one script, with digits and . _ @ -, are names."""
    assert username_key(name) == fold_text(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ann", "ANN"),
        ("stra\u00dfe", "STRASSE"),
        ("ann", "\uff41\uff4e\uff4e"),
        ("\ufb01n", "fin"),
        ("\u03c3\u03bf\u03c3", "\u03c3\u03bf\u03c2"),
    ],
)
def test_one_key(one: str, other: str) -> None:
    """Spellings that differ by case, width, ligature or a final form have one key."""
    assert username_key(one) == username_key(other)


@pytest.mark.parametrize(
    "name",
    ["", " ann", "ann ", "an n", "an\tn", "ann\u00a0", "ann\u200b", "a\u00adnn", "ann\0", "ann\n",
     "a/b", "a*", "a+b", "a,b", "{{x}}", "..", ".ann", "-ann", "_x", "a%2fb", "ju\u0308rgen",
     "a\u202enn", "p\u0430ypal", "\u0430nn", "x" * 129, "\ud800x", "a:b", "a'b", 'a"b', "<a>"],
)  # fmt: skip
def test_refused(name: str) -> None:
    """Spaces, separators, wildcards, invisible marks, other normal forms and mixed scripts."""
    with pytest.raises(ValidationError) as caught:
        username_key(name)
    assert caught.value.details["field"] == "username"


@pytest.mark.parametrize(
    "name",
    ["root", "ROOT", "Root", "\uff52\uff4f\uff4f\uff54", "ro\u043et", "root ", "\u24e1oot",
     "default", "system", "service", "anonymous", "ANONYMOUS"],
)  # fmt: skip
def test_reserved(name: str) -> None:
    """No spelling of a reserved name is a user's."""
    with pytest.raises(ValidationError):
        username_key(name)


@given(st.text(max_size=12))
def test_total(name: str) -> None:
    """Any text is a name or refused, and a key is its own key: folding twice changes nothing."""
    try:
        key = username_key(name)
    except ValidationError:
        return
    assert fold_text(key) == key
    assert not set(key) & set(" /*+,\t\n")


def test_a_key_is_composed() -> None:
    """Case folding can decompose a letter; the key is composed again, so that it is NFC itself."""
    assert fold_text("\u01f0") == fold_text("J\u030c") == "\u01f0"
