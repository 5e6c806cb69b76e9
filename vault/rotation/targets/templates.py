"""Statements of an operator's with placeholders in Vault's style, filled without injection.

`{{name}}` (or `{{username}}`), `{{password}}` and `{{expiration}}` may stand between quotes, as
Vault's documentation has them, or bare, where they get quotes. A placeholder in a comment or
in a dollar-quoted text cannot be quoted, and is refused.
"""

import re
from collections.abc import Mapping
from typing import Final

from vault.rotation.targets.access import STATEMENT, failure

MAX_STATEMENTS: Final = 50
MAX_LENGTH: Final = 10_000  # characters of one
_PLACEHOLDER: Final = re.compile(r"\{\{\s*([a-z_]*)\s*\}\}")
_DOLLAR: Final = re.compile(r"\$(?:[A-Za-z_][A-Za-z0-9_]*)?\$")
_ESCAPES_BEFORE: Final = re.compile(r"(?i)(?:^|[^a-z0-9_$])e$")  # PostgreSQL's E'…'
_COMMENT: Final = re.compile("--")
_MYSQL_COMMENT: Final = re.compile(r"--(?=\s|$)|#")
IDENTIFIERS: Final = frozenset({"name", "username"})
POSTGRESQL: Final = "postgresql"
MYSQL: Final = "mysql"


def check(statements: tuple[str, ...], dialect: str, names: frozenset[str]) -> None:
    """Raise `ValueError` for what could not be filled."""
    if len(statements) > MAX_STATEMENTS:
        raise ValueError(f"there are more than {MAX_STATEMENTS} statements")
    for statement in statements:
        if not statement.strip() or len(statement) > MAX_LENGTH or "\0" in statement:
            raise ValueError(f"a statement has 1 to {MAX_LENGTH} characters, and no NUL")
        _fill(statement, dialect, dict.fromkeys(names, ""))


def split(text: str, dialect: str) -> tuple[str, ...]:
    """The statements of a text, which semicolons separate. Raises `ValueError`."""
    found, begin, at = [], 0, 0
    while at < len(text):
        end = _region_end(text, at, dialect)
        if text[at:end] == ";":
            found.append(text[begin:at])
            begin = end
        at = end
    found.append(text[begin:])
    return tuple(statement.strip() for statement in found if statement.strip())


def fill(statement: str, dialect: str, values: Mapping[str, str]) -> str:
    """The statement with its placeholders filled. Raises `RotationError`, without any value."""
    if any(not value.isprintable() for value in values.values()):
        raise failure(STATEMENT, "a value has a character that cannot be quoted")
    try:
        return _fill(statement, dialect, values)
    except ValueError as error:
        raise failure(STATEMENT, str(error)) from None


def _fill(statement: str, dialect: str, values: Mapping[str, str]) -> str:
    out: list[str] = []
    at = 0
    while at < len(statement):
        end = _region_end(statement, at, dialect)
        region = statement[at:end]
        quote = region[0] if region[0] in "'\"`" and len(region) > 1 else ""
        is_raw = end - at > 1 and not quote
        escapes = dialect == MYSQL or (
            quote == "'" and bool(_ESCAPES_BEFORE.search(statement[:at]))
        )
        bare = not quote and not is_raw
        found = _PLACEHOLDER.match(statement, at) if bare else None
        if found:
            out.append(_bare(found[1], _value(found[1], values), dialect))
            at = found.end()
            continue
        if is_raw and _PLACEHOLDER.search(region):
            raise ValueError("a placeholder in a comment or a dollar-quoted text is refused")
        out.append(_PLACEHOLDER.sub(lambda m: _in(quote, _value(m[1], values), escapes), region))  # noqa: B023
        at = end
    return "".join(out)


def _region_end(text: str, at: int, dialect: str) -> int:
    """Where the quoted text, comment or single character ends that begins there."""
    sign = text[at]
    if sign in ("'", '"') or (sign == "`" and dialect == MYSQL):
        backslash = dialect == MYSQL and sign != "`"
        if sign == "'" and dialect == POSTGRESQL:
            backslash = bool(_ESCAPES_BEFORE.search(text[:at]))
        return _quoted_end(text, at, sign, backslash=backslash)
    if (_MYSQL_COMMENT if dialect == MYSQL else _COMMENT).match(text, at):
        end = text.find("\n", at)
        return len(text) if end < 0 else end
    if text.startswith("/*", at):
        if "/*" in text[at + 2 : max(at + 2, text.find("*/", at))]:
            raise ValueError("nested comments are refused")
        return _end(text, "*/", at + 2)
    if sign == "$" and dialect == POSTGRESQL and (tag := _DOLLAR.match(text, at)):
        return _end(text, tag[0], tag.end())
    return at + 1


def _quoted_end(text: str, at: int, quote: str, *, backslash: bool) -> int:
    here = at + 1
    while here < len(text):
        if text[here] == "\\" and backslash:
            here += 2
        elif text[here] == quote:
            return here + 1  # a doubled quote begins another region: the same in the end
        else:
            here += 1
    raise ValueError("a quote is not closed")


def _end(text: str, mark: str, start: int) -> int:
    found = text.find(mark, start)
    if found < 0:
        raise ValueError("a comment or a dollar-quoted text is not closed")
    return found + len(mark)


def _value(name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        known = ", ".join(f"{{{{{known}}}}}" for known in sorted(values))
        raise ValueError(f"a placeholder is none of {known}")
    return values[name]


def _in(quote: str, value: str, escapes: bool) -> str:
    value = value.replace(quote, quote * 2)
    return value.replace("\\", "\\\\") if escapes else value


def _bare(name: str, value: str, dialect: str) -> str:
    if name in IDENTIFIERS:
        quote = '"' if dialect == POSTGRESQL else "`"
        return f"{quote}{value.replace(quote, quote * 2)}{quote}"
    if "\\" in value and dialect == MYSQL:
        value = value.replace("\\", "\\\\")
    doubled = value.replace("'", "''")
    return f"'{doubled}'"
