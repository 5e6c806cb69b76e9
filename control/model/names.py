"""Names have one spelling each, so that no second spelling can mean something else."""

import re
from typing import Annotated, Final

from msgspec import Meta

from control.errors import ValidationError
from protocols.hidden_characters import BREAKS, CONTROLS, HIDDEN, JOINERS

MAX_TAGS: Final = 32  # of one agent
MAX_ADDRESS: Final = 254  # RFC 5321, 4.5.3.1.3
MAX_PAGE: Final = 500  # things of one answer; a longer list is read page by page
MAX_SHOWN: Final = 1024  # characters of somebody's own words

SLUG: Final = "[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?"
_SLUG: Final = re.compile(SLUG, re.ASCII)
_TAG: Final = re.compile(r"[a-z0-9][a-z0-9._:=/-]{0,63}", re.ASCII)

# For documents and decoders. `$` would let a final newline pass in Python, so `require_slug` looks
# again.
Slug = Annotated[str, Meta(min_length=1, max_length=64, pattern=f"^{SLUG}$")]
Tag = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-z0-9][a-z0-9._:=/-]{0,63}$")]
Tags = Annotated[tuple[Tag, ...], Meta(max_length=MAX_TAGS)]
# PostgreSQL refuses NUL in a text; other controls play tricks on whoever reads it in a terminal,
# hidden characters on whoever reads it at all.
# (?!\n): Python's `$` would let a final newline pass.
LINE: Final = rf"^[^{CONTROLS}{HIDDEN}{JOINERS}]*$(?!\n)"
LINES: Final = rf"^[^{BREAKS}{HIDDEN}]*$"
Prose = Annotated[str, Meta(max_length=MAX_SHOWN, pattern=LINES)]
Entered = Annotated[str, Meta(max_length=64, pattern=LINE)]
"""A name as somebody types it, to be looked for."""
Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE)]


def is_slug(text: str) -> bool:
    """Whether it can name an organization, a vault, a user or a policy."""
    return _SLUG.fullmatch(text) is not None


def require_slug(text: str, field: str) -> str:
    """The text, if it is a slug. Raises `ValidationError` naming `field`."""
    if not is_slug(text):
        raise ValidationError(
            "name_invalid",
            f"{field} must be 1 to 64 of a-z, 0-9 and '-', '-' neither first nor last",
            field=field,
        )
    return text


def printable(text: str) -> str:
    """The text as records hold it: invisible characters replaced, cut at `MAX_SHOWN`."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:MAX_SHOWN])


def normalize_tags(given: tuple[str, ...]) -> tuple[str, ...]:
    """The tags, sorted, each once. Raises `ValidationError`."""
    for tag in given:
        if not _TAG.fullmatch(tag):
            raise ValidationError(
                "tag_invalid",
                "a tag is 1 to 64 of a-z, 0-9 and '._:=/-', a letter or digit first",
                field="tags",
            )
    return tuple(sorted(set(given)))


def normalize_address(text: str) -> str:
    """An email address, in lower case. Raises `ValidationError`.

    Only dangerous ones are refused: whether an address works is shown by its mail.
    """
    local, _, domain = text.rpartition("@")
    fine = text.isascii() and text.isprintable() and not set(text) & set(' "<>(),:;\\[]')
    if not (local and "." in domain and fine and len(text) <= MAX_ADDRESS) or "@" in local:
        raise ValidationError("email_invalid", "this is not an email address", field="email")
    return text.lower()
