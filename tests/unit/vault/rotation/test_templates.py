"""Statements with placeholders: whatever a value holds, it stays one value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.rotation.rotator import RotationError
from vault.rotation.targets.templates import MAX_LENGTH, MAX_STATEMENTS, check, fill, split

PG, MY = "postgresql", "mysql"
NAMES = frozenset({"name", "password"})


@pytest.mark.parametrize(
    ("dialect", "statement", "filled"),
    [
        (PG, "ROLE \"{{name}}\" PASSWORD '{{password}}'", "ROLE \"n\"\"m\" PASSWORD 'p''\\w'"),
        (PG, "ROLE {{name}} PASSWORD {{ password }}", "ROLE \"n\"\"m\" PASSWORD 'p''\\w'"),
        (PG, "SELECT E'{{password}}'", "SELECT E'p''\\\\w'"),
        (PG, "SELECT 'it''s {{password}}'", "SELECT 'it''s p''\\w'"),
        (PG, "SELECT '\\', {{password}}", "SELECT '\\', 'p''\\w'"),
        (PG, "SELECT '{{name}}' -- note\n, {{name}}", "SELECT 'n\"m' -- note\n, \"n\"\"m\""),
        (PG, "SELECT $a$ it's {{ $a$", None),
        (MY, "USER '{{name}}'@'%' BY '{{password}}'", "USER 'n\"m'@'%' BY 'p''\\\\w'"),
        (MY, "GRANT `{{name}}` TO {{name}}", "GRANT `n\"m` TO `n\"m`"),
        (MY, 'SELECT "{{name}}"', 'SELECT "n""m"'),
        (MY, "SELECT 'a\\'{{password}}'", "SELECT 'a\\'p''\\\\w'"),
        (MY, "SELECT 5--1, {{password}}", "SELECT 5--1, 'p''\\\\w'"),
    ],
)  # fmt: skip
def test_values_are_quoted_by_where_they_stand(
    dialect: str, statement: str, filled: str | None
) -> None:
    """Between quotes or bare, in the dialect of the server."""
    values = {"name": 'n"m', "password": "p'\\w"}
    assert fill(statement, dialect, values) == (filled or statement)


@pytest.mark.parametrize(
    ("dialect", "statement"),
    [
        (PG, "SELECT 1 -- {{password}}"),
        (PG, "SELECT 1 /* {{password}} */"),
        (PG, "SELECT 1 /* a /* b */ {{password}} */"),
        (PG, "DO $$ BEGIN EXECUTE '{{password}}'; END $$"),
        (PG, "DO $tag$ {{name}} $tag$"),
        (PG, "SELECT '{{password}}"),
        (PG, "SELECT $$ 1"),
        (PG, "SELECT /* 1"),
        (PG, "SELECT {{unknown}}"),
        (PG, "SELECT '{{}}'"),
        (MY, "SELECT 1 # {{password}}"),
        (MY, "SELECT 1 -- {{password}}"),
        (MY, "SELECT '\\'{{password}}"),
        (MY, "/*!50000 {{name}} */"),
    ],
)
def test_what_cannot_be_quoted_is_refused(dialect: str, statement: str) -> None:
    """As the settings are written, and again as they are used."""
    with pytest.raises(ValueError):  # noqa: PT011  # each text is another one
        check((statement,), dialect, NAMES)
    with pytest.raises(RotationError) as caught:
        fill(statement, dialect, {"name": "n", "password": "canary-value"})
    assert caught.value.code == "statement_invalid"
    assert "canary-value" not in str(caught.value)


def test_settings_have_bounds() -> None:
    """Of statements, and of the length of each."""
    for statements in (("",), (" ",), ("a\0",), ("x" * (MAX_LENGTH + 1),)):
        with pytest.raises(ValueError, match="a statement has"):
            check(statements, PG, NAMES)
    with pytest.raises(ValueError, match="more than"):
        check(("SELECT 1",) * (MAX_STATEMENTS + 1), PG, NAMES)


@pytest.mark.parametrize("value", ["a\0b", "a\nb", "a\x1bb"])
def test_a_value_with_a_control_character_is_refused(value: str) -> None:
    """A server may end a text there."""
    with pytest.raises(RotationError):
        fill("SELECT '{{password}}'", PG, {"password": value})


@given(value=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_a_text_in_quotes_comes_back_as_it_was(value: str) -> None:
    """Read as the server reads it."""
    for dialect, escapes in ((PG, False), (MY, True)):
        filled = fill("'{{password}}'", dialect, {"password": value})
        inner = filled[1:-1].replace("''", "'")
        assert filled[1:-1].replace("''", "").count("'") == 0
        assert (inner.replace("\\\\", "\\") if escapes else inner) == value


@pytest.mark.parametrize(
    ("text", "dialect", "expected"),
    [
        ("A", "postgresql", ("A",)),
        ("A; B;", "postgresql", ("A", "B")),
        (" ;; ", "postgresql", ()),
        ("A ';' B; C", "postgresql", ("A ';' B", "C")),
        ('A ";" B; C', "postgresql", ('A ";" B', "C")),
        ("DO $x$ A; B $x$; C", "postgresql", ("DO $x$ A; B $x$", "C")),
        ("A -- ;\nB; C", "postgresql", ("A -- ;\nB", "C")),
        ("A /* ; */; B", "mysql", ("A /* ; */", "B")),
        ("A '\\';' B; C", "mysql", ("A '\\';' B", "C")),
        ("A `;` B; C", "mysql", ("A `;` B", "C")),
    ],
)
def test_a_text_of_several_statements(text: str, dialect: str, expected: tuple[str, ...]) -> None:
    """Semicolons separate them where they stand by themselves."""
    assert split(text, dialect) == expected


def test_a_text_with_an_open_quote_is_no_statement() -> None:
    """Nobody can say where it ends."""
    with pytest.raises(ValueError, match="not closed"):
        split("A 'b; C", "postgresql")
