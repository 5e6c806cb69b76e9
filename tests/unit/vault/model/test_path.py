"""Paths: one spelling each, for authorization and for storage; everything else is refused."""

import string
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault.errors import ValidationError
from vault.model import path as path_module
from vault.model.path import MAX_BYTES, MAX_SEGMENTS, RESERVED, ResourcePath

GOOD = ["a", "secret/app/db", "secret/ä/ß", "a b/c", "a.b/..c/d..", "a/" + "x" * 100, "日本/語"]
BAD = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    "a/./b",
    "a/../b",
    "..",
    ".",
    "a/..",
    "a\0b",
    "a/\n",
    "a\u200b",
    "a\u202eb",
    " a",
    "a ",
    "a/ b",
    "a%2fb",
    "a%2Fb",
    "a%5cb",
    "a\\b",
    "a\ud800",
    unicodedata.normalize("NFD", "ä"),
    "x" * (MAX_BYTES + 1),
    "ä" * (MAX_BYTES // 2 + 1),
    "/".join("a" * (MAX_SEGMENTS + 1)),
]


@pytest.mark.parametrize("text", GOOD)
def test_a_canonical_path_is_kept_as_it_is(text: str) -> None:
    """What is accepted is accepted to the letter: nothing is repaired."""
    assert ResourcePath.parse(text) == text


@pytest.mark.parametrize("text", BAD)
def test_what_could_be_spelled_in_two_ways_is_refused(text: str) -> None:
    """Each ambiguous or dangerous spelling is a typed error that does not repeat it."""
    with pytest.raises(ValidationError) as raised:
        ResourcePath.parse(text)
    assert raised.value.code == "path_invalid"
    assert raised.value.details == {"field": "path"}


@pytest.mark.parametrize(
    "name", [*sorted(RESERVED), "SYS", "Auth", "\N{LATIN SMALL LETTER LONG S}ys"]
)
def test_no_secret_lies_at_a_reserved_place(name: str) -> None:
    """Reserved first segments are refused in every case variant, alone and as a folder."""
    for text in (name, f"{name}/x"):
        with pytest.raises(ValidationError):
            ResourcePath.parse_secret(text)
    assert ResourcePath.parse_secret(f"x/{name}") == f"x/{name}"


@given(st.from_regex(path_module._ORDINARY, fullmatch=True))
def test_an_ordinary_name_has_no_fault(text: str) -> None:
    """What is not looked at closely, because of its form, is what a closer look accepts."""
    assert len(text) > MAX_BYTES or path_module._fault(text) is None


@pytest.mark.parametrize("text", ["x" * 129, "\N{GRINNING FACE}"])
def test_what_takes_many_bytes_is_not_remembered(text: str) -> None:
    """Anybody may ask for names of his own making: those that are remembered are short."""
    before = len(path_module._parsed)
    for number in range(3):
        ResourcePath.parse(f"{text}{number}")
    assert len(path_module._parsed) == before


def test_folders() -> None:
    """A folder is empty or ends in exactly one slash."""
    assert ResourcePath.parse_folder("") == ""
    assert ResourcePath.parse_folder("a/b") == ResourcePath.parse_folder("a/b/") == "a/b/"
    for text in ("a//", "/", "../", "a/../"):
        with pytest.raises(ValidationError):
            ResourcePath.parse_folder(text)


@settings(max_examples=2_000)
@given(st.text(alphabet=[*string.ascii_lowercase[:3], "/", ".", " ", "%", "2", "f", "\\", "ä", "̈"]))
def test_accepted_means_canonical(text: str) -> None:
    """Whatever is accepted has no empty, dot or padded segment, is NFC, and is what was given."""
    try:
        path = ResourcePath.parse(text)
    except ValidationError:
        return
    assert path == text
    assert unicodedata.normalize("NFC", path) == path
    for segment in path.split("/"):
        assert segment not in {"", ".", ".."}
        assert segment == segment.strip()
