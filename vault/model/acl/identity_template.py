"""Identity templates in the paths of policies: `secret/data/{{identity.entity.name}}/*`.

What an identity is called must never become a pattern, or lead out of the place that it is put in:
a value with one of `FORBIDDEN`, or one that is empty, makes a path allow nothing. A path that
denies must not be escaped so: then it denies all that it could have been (GHSA-59w7-v8rr-pr4p).
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

FORBIDDEN: Final = frozenset("/*+,{}")
"""Characters of a value that would change what a pattern covers."""


class TemplateError(ValueError):
    """Braces that do not match."""


class Template(Struct, frozen=True, gc=False):
    """Text and names in turn: `texts` has one more than `names`."""

    texts: tuple[str, ...]
    names: tuple[str, ...]

    def fill(self, values: Mapping[str, str]) -> str | None:
        """The text with the values in it; None where one is missing or must not be put in."""
        found = [self.texts[0]]
        for name, text in zip(self.names, self.texts[1:], strict=True):
            value = values.get(name, "")
            if not value or not _is_plain(value):
                return None
            found += [value, text]
        return "".join(found)

    def fill_denial(self, values: Mapping[str, str]) -> str | None:
        """As `fill`, of a path that denies; with `*` from a value on that must not be put in."""
        found = [self.texts[0]]
        for name, text in zip(self.names, self.texts[1:], strict=True):
            value = values.get(name, "")
            if not value:
                return None
            if not _is_plain(value):
                return f"{''.join(found)}*"
            found += [value, text]
        return "".join(found)


def _is_plain(value: str) -> bool:
    return FORBIDDEN.isdisjoint(value) and value not in {".", ".."}


def parse_template(text: str) -> Template:
    """Read a template; a text without braces is one without names. Raises `TemplateError`."""
    first, *rest = text.split("{{")
    texts, names = [first], list[str]()
    for part in rest:
        name, closing, text = part.partition("}}")
        if not closing or "{" in name or "}" in name:
            raise TemplateError("unbalanced templating characters: expected {{ name }}")
        names.append(name.strip())
        texts.append(text)
    if any("}}" in one for one in texts):
        raise TemplateError("unbalanced templating characters: expected {{ name }}")
    return Template(tuple(texts), tuple(names))
