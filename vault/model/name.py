"""Names of policies and roles: one spelling, so that no second spelling can mean `root`.

Case folding happens after the ASCII check: `casefold` alone would turn the Kelvin sign into `k`
and the long s into `s` (the class of CVE-2025-5999 and CVE-2025-64761).
"""

import re
from typing import Final

from vault.errors import ValidationError

MAX_NAME: Final = 128  # characters; a key column of every database we mean to support holds it

_PLAIN = re.compile(r"\w[\w.-]{0,63}", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*\Z", re.ASCII)


def canonical_name(text: str, field: str) -> str:
    """Return the one spelling of a policy's or role's name; raises `ValidationError` for `field`.

    ASCII capitals are folded, as OpenBao does; anything outside `[a-z0-9._-]` is refused.
    """
    name = text.lower() if text.isascii() else ""
    if len(name) > MAX_NAME or _NAME.match(name) is None:
        raise ValidationError(
            "name_invalid",
            f"{field} must be 1 to {MAX_NAME} characters of a-z, 0-9, '.', '_' and '-', "
            "beginning with a letter or digit",
            field=field,
        )
    return name


def echoed(text: str) -> str:
    """A text of the caller's as a message may repeat it: a short plain word, or none of it."""
    return text if _PLAIN.fullmatch(text) else "(not a plain name)"
