"""Path patterns: which paths a rule speaks of.

A literal path; `*` as the last character for "and whatever follows"; `+` for one whole segment.
Nothing is templated in: what an identity is called never becomes a pattern.
"""

from functools import lru_cache
from typing import Final

from msgspec import Struct

from vault.errors import ValidationError
from vault.model.path import ResourcePath

GLOB: Final = "*"
SEGMENT: Final = "+"


class Pattern(Struct, frozen=True, gc=False):
    """A parsed pattern. `text` is literal up to `head`; `parts` is set when `+` occurs in it."""

    text: str  # without the closing `*`
    open_ended: bool
    head: str  # the literal beginning, for a quick no
    parts: tuple[str, ...] = ()

    def matches(self, path: str) -> bool:
        """Say whether a canonical path (or a folder with its closing slash) is covered."""
        if not self.parts:
            return path.startswith(self.text) if self.open_ended else path == self.text
        if not path.startswith(self.head):
            return False
        return self._segments_match(path)

    def _segments_match(self, path: str) -> bool:
        last = len(self.parts) - 1
        found = path.split("/", last) if self.open_ended else path.split("/")
        if len(found) != len(self.parts):
            return False
        for want, have in zip(self.parts[:last], found[:last], strict=True):
            if want != have and (want != SEGMENT or not have):
                return False
        want, have = self.parts[last], found[last]
        if self.open_ended:
            return have.startswith(want)
        return want == have or (want == SEGMENT and have != "")


def parse_pattern(text: str, field: str) -> Pattern:
    """Read a pattern; raises `ValidationError` naming `field` and the broken rule."""
    try:
        return _parse(text)
    except ValueError as fault:
        raise ValidationError("pattern_invalid", f"{field}: {fault}", field=field) from None


@lru_cache(maxsize=16_384)  # the patterns in use, so that a policy's write recompiles quickly
def _parse(text: str) -> Pattern:
    open_ended = text.endswith(GLOB)
    body = text.removesuffix(GLOB)
    if GLOB in body:
        raise ValueError("'*' may only be the last character; '+' stands for one segment")
    if "{{" in body:
        raise ValueError("templates are not supported")
    try:
        # An open end is completed to some path that it covers: "secret/" is no path, "secret/x" is.
        ResourcePath.parse(f"{body}x" if open_ended else body)
    except ValidationError as fault:
        raise ValueError(fault.message.removeprefix("invalid path: ")) from None
    parts = tuple(body.split("/"))
    # "+*" is a literal plus and an open end: only a whole segment is a wildcard.
    wild = parts[:-1] if open_ended else parts
    if SEGMENT not in wild:
        return Pattern(text=body, open_ended=open_ended, head=body)
    head = "".join(f"{part}/" for part in parts[: parts.index(SEGMENT)])
    return Pattern(text=body, open_ended=open_ended, head=head, parts=parts)
