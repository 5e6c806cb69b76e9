import json

import pytest

from ui.cli.output import Format, document, show, tell

Out = pytest.CaptureFixture[str]


def test_json_is_the_whole_value(capsys: Out) -> None:
    """A program gets everything, whatever columns a table would have."""
    value = [{"name": "a", "more": {"b": [1, None]}}]
    show(value, Format.JSON, ("name",))
    assert json.loads(capsys.readouterr().out) == value


def test_an_object_is_a_line_a_field(capsys: Out) -> None:
    """Text as it is, None empty, everything else as JSON."""
    show({"name": "a", "tags": ["x"], "none": None, "is": True}, Format.TABLE)
    assert capsys.readouterr().out == 'key   value\nname  a\ntags  ["x"]\nnone\nis    true\n'


def test_a_list_has_the_chosen_columns(capsys: Out) -> None:
    """Aligned, and without blanks at the end of a line."""
    show([{"a": "long one", "b": 1, "c": 2}, {"a": "x", "b": 22}], Format.TABLE, ("a", "b"))
    assert capsys.readouterr().out == "a         b\nlong one  1\nx         22\n"


def test_without_a_choice_a_list_has_all_columns(capsys: Out) -> None:
    """Those that only some rows have too."""
    show([{"a": 1}, {"b": 2}], Format.TABLE)
    assert capsys.readouterr().out == "a  b\n1\n   2\n"


def test_an_empty_list_is_told_as_none_to_a_person_alone(capsys: Out) -> None:
    """On stderr, and not where a program reads."""
    show([], Format.TABLE, ("a", "b"))
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "none\n")
    show([], Format.JSON)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [(["a", "b"], "a\nb\n"), ([], ""), (None, ""), ("text", "text\n"), (3, "3\n")],
)
def test_what_is_no_object_is_bare(value: object, shown: str, capsys: Out) -> None:
    """Lists of words are lines, so that a shell can loop over them."""
    show(value, Format.TABLE)
    assert capsys.readouterr().out == shown


def test_a_name_cannot_steer_the_terminal(capsys: Out) -> None:
    """Control characters of stored text come out escaped, in results and in errors."""
    show({"agent": "\x1b[2Jx\ny"}, Format.TABLE)
    tell("no \x1b[31m\nway")
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err
    assert shown.err == "no \\x1b[31m\\nway\n"


def test_a_document_is_json_for_people_too(capsys: Out) -> None:
    """Indented, letters as they are."""
    document({"a": "é"})
    assert capsys.readouterr().out == '{\n  "a": "é"\n}\n'
