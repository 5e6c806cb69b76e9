"""Tests of loose parameters."""

from typing import Any

import pytest
from msgspec import Raw

from vault.edge.compat.fields import Fields, parse_bool
from vault.errors import ValidationError


def fields(**raw: str) -> Fields:
    """Fields as a body brings them."""
    return Fields({name: Raw(text.encode()) for name, text in raw.items()})


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
def test_yes(text: str) -> None:
    """What Go's ParseBool takes for true."""
    assert parse_bool(text) is True


@pytest.mark.parametrize(("text", "answer"), [("0", False), ("False", False), ("yes", None)])
def test_no(text: str, answer: bool | None) -> None:
    """What it takes for false, and what for neither."""
    assert parse_bool(text) is answer


@pytest.mark.parametrize(
    ("raw", "number"), [("5", 5), ('"5"', 5), ("5.0", 5), ("-1", -1), ('""', 0), ("null", None)]
)
def test_whole_numbers(raw: str, number: int | None) -> None:
    """Terraform sends numbers as text."""
    assert fields(n=raw).integer("n") == number


@pytest.mark.parametrize(
    "raw", ['"x"', "1.5", "{}", "[1]", "9223372036854775808", '"1_0"', '"٣"', "1e300"]
)
def test_not_whole_numbers(raw: str) -> None:
    """What is no number, or none that a database keeps, is refused with the field's name."""
    with pytest.raises(ValidationError, match=r'for field "n"'):
        fields(n=raw).integer("n")


@pytest.mark.parametrize(
    ("raw", "answer"),
    [("true", True), ('"true"', True), ("1", True), ("0", False), ('""', False), ("null", None)],
)
def test_booleans(raw: str, answer: bool | None) -> None:
    """Words, too: so sends hvac."""
    assert fields(b=raw).boolean("b") is answer


@pytest.mark.parametrize("raw", ['"maybe"', "[]", "1.5"])
def test_not_booleans(raw: str) -> None:
    """Refused."""
    with pytest.raises(ValidationError, match="bool"):
        fields(b=raw).boolean("b")


@pytest.mark.parametrize(
    ("raw", "ns"),
    [("60", 60), ('"60"', 60), ('"1h30m"', 5400), ('"-1s"', -1), ('""', 0), ("null", None)],
)
def test_durations(raw: str, ns: int | None) -> None:
    """Seconds, or Go's words; nothing is zero."""
    assert fields(d=raw).duration("d") == (None if ns is None else ns * 10**9)


@pytest.mark.parametrize("raw", ['"soon"', "true", "{}"])
def test_not_durations(raw: str) -> None:
    """Refused."""
    with pytest.raises(ValidationError):
        fields(d=raw).duration("d")


@pytest.mark.parametrize("raw", ["[1, 2]", '["1", "2"]', '"1, 2"'])
def test_lists_of_numbers(raw: str) -> None:
    """A list, or text with commas."""
    assert fields(v=raw).integers("v") == (1, 2)


def test_lists_of_texts() -> None:
    """One text is a list of one; numbers become text."""
    assert fields(v='"a"').texts("v") == ("a",)
    assert fields(v='["a", 1]').texts("v") == ("a", "1")
    assert fields().texts("v") == ()
    assert fields(v="3").texts("v") == ("3",)


def test_text() -> None:
    """A scalar becomes text as OpenBao's decoder makes it; a tree does not."""
    assert [fields(t=raw).text("t") for raw in ('"x"', "1", "true", "false", "null")] == [
        "x", "1", "1", "0", "",
    ]  # fmt: skip
    with pytest.raises(ValidationError, match="string"):
        fields(t="[]").text("t")


def test_maps() -> None:
    """Objects; their values become text where text is asked for."""
    assert fields(m='{"a": 1, "b": true}').text_map("m") == {"a": "1", "b": "1"}
    assert fields().text_map("m") is None
    with pytest.raises(ValidationError, match="map"):
        fields(m='"x"').mapping("m")


def test_the_raw_text_is_checked_to_the_last_character() -> None:
    """What is stored undecoded must be decodable later."""
    assert fields(d='{"a": 1.50}').raw_mapping("d") == b'{"a": 1.50}'
    assert fields(d="null").raw_mapping("d") == fields().raw_mapping("d") == b"null"
    for bad in (b'{"a": "\xff"}', b'{"a": 1e999}'):
        with pytest.raises(ValidationError, match="well-formed"):
            Fields({"d": Raw(bad)}).raw_mapping("d")


def test_a_field_may_be_there_as_null() -> None:
    """A patch tells a null from nothing."""
    given = fields(a="null")
    assert "a" in given
    assert "b" not in given


def test_what_nobody_asked_for_is_remarked() -> None:
    """As OpenBao remarks on it, in order."""
    given: dict[str, Any] = {"z": "1", "a": "1", "known": "1"}
    some = Fields(given)
    some.text("known")
    assert some.ignored_field_warnings() == [
        "Endpoint ignored these unrecognized parameters: [a z]"
    ]
    assert Fields({}).ignored_field_warnings() == []


@pytest.mark.parametrize("given", [",".join(["1"] * 1_001), ["1"] * 1_001, "," * 1_000])
def test_a_list_has_a_bound(given: object) -> None:
    """It is counted before it is split."""
    for read in (Fields({"a": given}).integers, Fields({"a": given}).texts):
        with pytest.raises(ValidationError, match="at most 1000 items"):
            read("a")


def test_a_list_may_be_as_long_as_its_bound() -> None:
    """In either form."""
    assert len(Fields({"a": ",".join(["1"] * 1_000)}).integers("a")) == 1_000
    assert len(Fields({"a": [1] * 1_000}).texts("a")) == 1_000
