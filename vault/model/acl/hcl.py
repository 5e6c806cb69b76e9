"""A parser of HCL 1, the language of Vault's policies, and of its JSON form: text to a tree.

Written after the behaviour of github.com/hashicorp/hcl (version 1). Each character is looked at a
bounded number of times, and `MAX_DEPTH` bounds nesting, so that any text of `MAX_CHARACTERS` is
read or refused in milliseconds. Errors say where: line and column, from 1.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias, Union

from protocols.json_text import Pairs, decode_pairs

MAX_CHARACTERS: Final = 256 * 1024
MAX_DEPTH: Final = 16
MAX_DIGITS: Final = 100  # of a number
NOWHERE: Final = -1
"""The place of what is read from JSON."""

Scalar: TypeAlias = str | int | float | bool | None
Node: TypeAlias = Union["Literal", "Sequence", "Block"]


class HclError(ValueError):
    """The text is no HCL, or not what was expected from `at` on, a number of characters."""

    def __init__(self, text: str, at: int, fault: str) -> None:
        super().__init__(fault if at == NOWHERE else f"At {_line_and_column(text, at)}: {fault}")


@dataclass(frozen=True)
class Literal:
    """A string, number or truth value."""

    value: Scalar
    at: int


@dataclass(frozen=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    at: int


@dataclass(frozen=True)
class Item:
    """`key = value`, `key { … }` or `key "label" { … }`: the keys, and what they stand for."""

    keys: tuple[str, ...]
    value: Node
    at: int


@dataclass(frozen=True)
class Block:
    """What stands between braces, or in the whole text, in its order. Keys may come twice."""

    items: tuple[Item, ...]
    at: int


def parse_hcl(text: str) -> Block:
    """The tree of a text, in HCL or, where it begins with `{`, in JSON. Raises `HclError`."""
    if len(text) > MAX_CHARACTERS:
        raise HclError(text, NOWHERE, f"the text is longer than {MAX_CHARACTERS} characters")
    if text.lstrip().startswith("{"):
        return _parse_json(text)
    return _Parser(text).parse()


def _line_and_column(text: str, at: int) -> str:
    return f"{text.count(chr(10), 0, at) + 1}:{at - text.rfind(chr(10), 0, at)}"


# JSON


def _parse_json(text: str) -> Block:
    """An object is read as its pairs: a key may come twice, and none is lost."""
    try:
        found = decode_pairs(text)
    except (ValueError, RecursionError) as fault:
        raise HclError(text, NOWHERE, f"it begins as JSON and is none: {fault}") from None
    return _json_block(found, 1)


def _json_block(pairs: Pairs, depth: int) -> Block:
    """An object; one whose value is an object or a list of some counts as blocks."""
    items: list[Item] = []
    for key, value in pairs:
        whole = [value] if isinstance(value, Pairs) or not isinstance(value, list) else value
        if whole and all(isinstance(one, Pairs) for one in whole):
            items += [Item((key,), _json_node(one, depth + 1), NOWHERE) for one in whole]
        else:
            items.append(Item((key,), _json_node(value, depth + 1), NOWHERE))
    return Block(tuple(items), NOWHERE)


def _json_node(plain: object, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise HclError("", NOWHERE, f"values are nested more than {MAX_DEPTH} deep")
    if isinstance(plain, Pairs):
        return _json_block(plain, depth)
    if isinstance(plain, list):
        return Sequence(tuple(_json_node(one, depth + 1) for one in plain), NOWHERE)
    if plain is None or isinstance(plain, str | int | float | bool):
        return Literal(plain, NOWHERE)
    raise HclError("", NOWHERE, "unknown kind of value")


# HCL


class _Token(NamedTuple):
    kind: str  # "name", "text", "number", one of `{}[],=`, or "" at the end
    value: Scalar
    at: int


_SPACE: Final = re.compile(r"(?:[ \t\r\n\ufeff]|\#[^\n]*|//[^\n]*|/\*.*?\*/)+", re.DOTALL)
_NAME: Final = re.compile(r"[^\W\d][\w.\-]*")
_NUMBER: Final = re.compile(
    r"(?P<sign>-?)(?:(?P<hex>0[xX][0-9a-fA-F]+)|"
    r"(?P<float>\d+(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+))|(?P<int>\d+))(?![\w.])"
)
_HEREDOC: Final = re.compile(r"<<(?P<indented>-?)(?P<anchor>[^\W_][\w\-.]*)\r?\n")
_PLAIN: Final = re.compile(r'[^"\\\n${}]+')  # of a string, where nothing special begins
_ESCAPE: Final = re.compile(
    r"\\(?:(?P<simple>[abfnrtv\\\"])|(?P<octal>[0-7]{3})|x(?P<x>[0-9a-fA-F]{2})"
    r"|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8}))"
)
_SIMPLE: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", '"': '"',
}  # fmt: skip


class _Scanner:
    """The tokens of a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def tokens(self) -> Iterator[_Token]:
        """All of them; the last has the kind "". Raises `HclError`."""
        text = self._text
        while True:
            if space := _SPACE.match(text, self._at):
                self._at = space.end()
            at = self._at
            if self._at == len(text):
                yield _Token("", None, at)
                return
            char = text[self._at]
            if char in "{}[],=":
                self._at += 1
                yield _Token(char, None, at)
            elif char == '"':
                yield _Token("text", self._string(at), at)
            elif name := _NAME.match(text, self._at):
                self._at = name.end()
                word = name[0]
                truth = {"true": True, "false": False}.get(word)
                yield _Token("name" if truth is None else "truth", word, at)
            elif number := _NUMBER.match(text, self._at):
                self._at = number.end()
                yield _Token("number", self._number(number), at)
            elif heredoc := _HEREDOC.match(text, self._at):
                yield _Token("heredoc", self._heredoc(heredoc, at), at)
            elif text.startswith("/*", self._at):
                raise self._error(at, "comment not terminated")
            elif text.startswith("<<", self._at):
                raise self._error(at, "a heredoc begins with << and its anchor on a line")
            else:
                raise self._error(at, "illegal char")

    def _error(self, at: int, fault: str) -> HclError:
        return HclError(self._text, at, fault)

    def _string(self, start: int) -> str:
        """A quoted string. In `${…}` quotes, lines and escapes are part of its text."""
        text, parts, braces = self._text, list[str](), 0
        self._at += 1
        while self._at < len(text):
            if plain := _PLAIN.match(text, self._at):
                parts.append(plain[0])
                self._at = plain.end()
                continue
            char = text[self._at]
            if char == '"' and not braces:
                self._at += 1
                return "".join(parts)
            if char == "\n" and not braces:
                raise self._error(self._at, "literal not terminated")
            if char == "\\" and not braces:
                escape = _ESCAPE.match(text, self._at)
                if escape is None:
                    raise self._error(self._at, "illegal char escape")
                parts.append(self._unescape(escape))
                self._at = escape.end()
                continue
            if text.startswith("${", self._at):
                braces += 1
                parts.append("${")
                self._at += 2
                continue
            if braces:
                braces += {"{": 1, "}": -1}.get(char, 0)
            parts.append(char)
            self._at += 1
        raise self._error(start, "literal not terminated")

    def _heredoc(self, begin: re.Match[str], start: int) -> str:
        """The lines up to the anchor; of `<<-` without the indentation of the anchor's line."""
        lines: list[str] = []
        self._at = begin.end()
        while self._at < len(self._text):
            end = self._text.find("\n", self._at)
            line = self._text[self._at : end if end >= 0 else len(self._text)].removesuffix("\r")
            if line.strip(" \t") == begin["anchor"] and (begin["indented"] or line[0] not in " \t"):
                self._at += len(line)
                if begin["indented"]:
                    indent = line[: -len(begin["anchor"])]
                    if all(one.startswith(indent) for one in lines):
                        lines = [one.removeprefix(indent) for one in lines]
                return "".join(f"{one}\n" for one in lines)
            if end < 0:
                break
            lines.append(line)
            self._at = end + 1
        raise self._error(start, "heredoc not terminated")

    def _number(self, match: re.Match[str]) -> int | float:
        text = match[0]
        if len(text) > MAX_DIGITS:
            raise self._error(match.start(), f"a number has more than {MAX_DIGITS} digits")
        if match["float"]:
            return float(text)
        digits = match["hex"] or match["int"]
        try:
            value = int(digits, 16 if match["hex"] else 8 if re.match(r"0\d", digits) else 10)
        except ValueError:
            raise self._error(match.start(), "illegal octal number") from None
        return -value if match["sign"] else value

    def _unescape(self, match: re.Match[str]) -> str:
        if match["simple"]:
            return _SIMPLE[match["simple"]]
        digits, base = (
            (match["octal"], 8) if match["octal"] else (match["x"] or match["u"] or match["U"], 16)
        )
        code = int(digits, base)
        if code > sys.maxunicode or 0xD800 <= code < 0xE000:  # noqa: PLR2004  # surrogates
            raise self._error(match.start(), "no character has this number")
        return chr(code)


class _Parser:
    """Recursive descent, one token ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _Scanner(text).tokens()
        self._token = next(self._tokens)

    def parse(self) -> Block:
        """The whole text."""
        return self._block("", self._token.at, 1)

    def _error(self, at: int, fault: str) -> HclError:
        return HclError(self._text, at, fault)

    def _next(self) -> _Token:
        """Take the token that is looked at."""
        taken = self._token
        if taken.kind:
            self._token = next(self._tokens)
        return taken

    def _block(self, end: str, at: int, depth: int) -> Block:
        """Items up to `end`, each perhaps with a comma behind it."""
        items: list[Item] = []
        while self._token.kind != end:
            items.append(self._item(depth))
            if self._token.kind == ",":
                self._next()
        self._next()
        return Block(tuple(items), at)

    def _item(self, depth: int) -> Item:
        at, keys = self._token.at, list[str]()
        while self._token.kind in {"name", "text"}:
            keys.append(str(self._next().value))
        if not keys:
            raise self._error(at, f"expected a name, found {_words(self._token)}")
        token = self._next()
        if token.kind == "{":
            return Item(tuple(keys), self._nested_block(token.at, depth), at)
        if token.kind != "=":
            raise self._error(token.at, f"expected '=' or '{{', found {_words(token)}")
        if len(keys) > 1:
            raise self._error(token.at, "expected '{' after a label, found '='")
        return Item(tuple(keys), self._value(depth), at)

    def _nested_block(self, at: int, depth: int) -> Block:
        if depth >= MAX_DEPTH:
            raise self._error(at, f"blocks are nested more than {MAX_DEPTH} deep")
        return self._block("}", at, depth + 1)

    def _value(self, depth: int) -> Node:
        token = self._next()
        if token.kind in {"text", "number", "heredoc"}:
            return Literal(token.value, token.at)
        if token.kind == "truth":
            return Literal(token.value == "true", token.at)
        if token.kind == "{":
            return self._nested_block(token.at, depth)
        if token.kind == "[":
            return self._list(token.at, depth)
        raise self._error(token.at, f"expected a value, found {_words(token)}")

    def _list(self, at: int, depth: int) -> Sequence:
        if depth >= MAX_DEPTH:
            raise self._error(at, f"lists are nested more than {MAX_DEPTH} deep")
        items: list[Node] = []
        while self._token.kind != "]":
            items.append(self._value(depth + 1))
            if self._token.kind == ",":
                self._next()
            elif self._token.kind != "]":
                raise self._error(
                    self._token.at, f"expected ',' or ']', found {_words(self._token)}"
                )
        self._next()
        return Sequence(tuple(items), at)


def _words(token: _Token) -> str:
    """A token in an error: its kind, as its text may be a secret."""
    if not token.kind:
        return "the end"
    words = {"text": "a string", "name": "a name", "truth": "true or false"}
    return words.get(token.kind, f"'{token.kind}'" if len(token.kind) == 1 else f"a {token.kind}")
