import json
import sys

import pytest
import yaml

from ui.cli.output import OutputFormat, escape_json, print_json, print_note, print_text, print_value

Out = pytest.CaptureFixture[str]


def test_json_is_the_whole_value(capsys: Out) -> None:
    """A program gets everything, whatever columns a table would have."""
    value = [{"name": "a", "more": {"b": [1, None]}}]
    print_value(value, OutputFormat.JSON, ("name",))
    assert json.loads(capsys.readouterr().out) == value


def test_a_list_has_the_chosen_columns(capsys: Out) -> None:
    """Aligned, and without blanks at the end of a line."""
    print_value(
        [{"a": "long one", "b": 1, "c": 2}, {"a": "x", "b": 22}], OutputFormat.TABLE, ("a", "b")
    )
    assert capsys.readouterr().out == "a         b\nlong one  1\nx         22\n"


def test_an_empty_list_is_told_as_none_to_a_person_alone(capsys: Out) -> None:
    """On stderr, and not where a program reads."""
    print_value([], OutputFormat.TABLE, ("a", "b"))
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "none\n")
    print_value([], OutputFormat.JSON)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [(["a", "b"], "a\nb\n"), ([], ""), (None, ""), ("text", "text\n"), (3, "3\n")],
)
def test_what_is_no_object_is_bare(value: object, shown: str, capsys: Out) -> None:
    """Lists of words are lines, so that a shell can loop over them."""
    print_value(value, OutputFormat.TABLE)
    assert capsys.readouterr().out == shown


def test_a_name_cannot_steer_the_terminal(capsys: Out) -> None:
    """Control characters of stored text come out escaped, in results and in errors."""
    print_value({"agent": "\x1b[2Jx\ny"}, OutputFormat.TABLE)
    print_note("no \x1b[31m\nway")
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err
    assert shown.err == "no \\x1b[31m\\nway\n"


def test_a_document_is_json_for_people_too(capsys: Out) -> None:
    """Indented, letters as they are."""
    print_json({"a": "é"})
    assert capsys.readouterr().out == '{\n  "a": "é"\n}\n'


HOSTILE = "a\x1b[31m\x9b2J\x7f\u202e\u2066\u2028\U000e0041é\U0001f600"


def is_harmless(said: str) -> bool:
    """Whether nothing in it could steer a terminal."""
    return all(c.isprintable() or c == "\n" for c in said)


def test_json_cannot_steer_the_terminal(capsys: Out) -> None:
    """It holds no control and no invisible character, and means the same."""
    value = {"user_agent": HOSTILE, HOSTILE: [HOSTILE]}
    print_value(value, OutputFormat.JSON)
    said = capsys.readouterr().out
    assert is_harmless(said)
    assert json.loads(said) == value
    assert "é\U0001f600" in said
    line = json.dumps(value, ensure_ascii=False)
    assert is_harmless(escape_json(line))
    assert json.loads(escape_json(line)) == value


def test_a_table_cannot_steer_the_terminal(capsys: Out) -> None:
    """Neither by what is in it nor by the names of fields."""
    print_value({HOSTILE: HOSTILE}, OutputFormat.TABLE)
    print_value([HOSTILE], OutputFormat.TABLE)
    print_value([{"a": HOSTILE}], OutputFormat.TABLE, ("a",))
    print_note(HOSTILE)
    told = capsys.readouterr()
    assert is_harmless(told.out + told.err)


def test_a_text_is_whole_for_programs_and_harmless_at_a_terminal(
    capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that is piped into a file must be that secret."""
    print_text("one\n\ttwo" + HOSTILE)
    assert capsys.readouterr().out == "one\n\ttwo" + HOSTILE + "\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_text("one\n\ttwo" + HOSTILE)
    said = capsys.readouterr().out
    assert said.startswith("one\n\ttwo")
    assert is_harmless(said.replace("\t", ""))


@pytest.mark.parametrize(
    "value",
    [
        {"name": "secret/a", "tags": ["x", "é"], "n": 1, "none": None, "yes": "yes", "t": "12:30"},
        [{"a": "1"}, {"a": "line one\nline two\n"}],
        {"esc": "\x1b[2J", "bidi": "a\u202eb", "bom": "\ufeffx", "astral": "\U0001f511"},
        "text",
        [],
    ],
)
def test_yaml_says_the_same_and_steers_no_terminal(value: object, capsys: Out) -> None:
    """What could is escaped, where YAML has escapes."""
    print_value(value, OutputFormat.YAML)
    shown = capsys.readouterr().out
    assert yaml.safe_load(shown) == value
    assert all(c.isprintable() or c == "\n" for c in shown)
