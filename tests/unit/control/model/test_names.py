"""One spelling of each name."""

import msgspec
import pytest

from control.errors import ValidationError
from control.model.names import (
    MAX_SHOWN,
    Entered,
    Prose,
    is_slug,
    normalize_tags,
    printable,
    require_slug,
)


@pytest.mark.parametrize("text", ["a", "a-b", "0" * 64])
def test_slugs(text: str) -> None:
    """Come back as they are."""
    assert require_slug(text, "x") == text


@pytest.mark.parametrize("text", ["", "-a", "a-", "A", "a_b", "a\n", "a b", "é", "0" * 65, "a/b"])
def test_what_is_none(text: str) -> None:
    """The error names the field."""
    assert not is_slug(text)
    with pytest.raises(ValidationError, match="field-x"):
        require_slug(text, "field-x")


def test_tags_are_sorted_once_each() -> None:
    """And refused as slugs are."""
    assert normalize_tags(("b", "a=1", "b")) == ("a=1", "b")
    with pytest.raises(ValidationError):
        normalize_tags(("a\n",))


@pytest.mark.parametrize("shape", [Prose, Entered])
def test_words_hold_no_control_character(shape: type[str]) -> None:
    """PostgreSQL takes no NUL, and a terminal obeys others; paragraphs are prose."""
    for fine in ("", "Zoë, 東京 🗝"):
        assert msgspec.convert(fine, shape) == fine
    for bad in ("a\0b", "\x1b[2J", "\x7f", "\x9b1m"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(bad, shape)
    assert msgspec.convert("a\r\n\tb", Prose)
    for bad in ("a\nb", "a\n"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(bad, Entered)


def test_what_is_put_on_record_can_be_read() -> None:
    """Whatever somebody's path holds; and it has an end."""
    assert printable("acme/a b/\0\x1b[2J\n") == "acme/a b/\ufffd\ufffd[2J\ufffd"
    assert len(printable("\0" * 5000)) == MAX_SHOWN


@pytest.mark.parametrize("shape", [Prose, Entered])
@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200b", "\u200f", "\u00ad", "\ufeff"])
def test_words_read_as_they_are_written(shape: type[str], hidden: str) -> None:
    """Nothing in them turns text around or shows nothing (CVE-2021-42574)."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(f"app{hidden}1", shape)
    for text in ("app-1", "\u05d0\u05d1", "caf\u00e9", "\U0001f600"):
        assert msgspec.convert(text, shape) == text


def test_prose_may_join_and_names_may_not() -> None:
    """Some scripts and emoji need joiners; in a name they make two look alike."""
    assert msgspec.convert("a\u200db", Prose) == "a\u200db"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert("a\u200db", Entered)
