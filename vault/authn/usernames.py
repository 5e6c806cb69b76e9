"""User names: one spelling each, and a key under which no look-alike of another can be taken.

Letters, digits, marks and `. _ @ -`, in NFC, of one script. The key is folded by case and by
compatibility (full-width letters, ligatures), so `Ann`, `ANN` and their full-width forms are one
user. Wildcards, separators and spaces are refused, so that a name is never a pattern or a list.
"""

import unicodedata
from typing import Final

from vault.errors import ValidationError

MAX_USERNAME: Final = 128  # characters; an e-mail address of usual length fits
RESERVED: Final = frozenset({"root", "anonymous", "service", "system", "default"})

_PUNCTUATION: Final = frozenset("._@-")


def username_key(username: str, field: str = "username") -> str:
    """Return the key of a user name; raises `ValidationError` saying which rule it breaks."""
    fault = _fault(username)
    if fault:
        raise ValidationError("username_invalid", f"{field} {fault}", field=field)
    key = fold_username(username)
    if key in RESERVED:
        raise ValidationError("username_reserved", f"{field} is reserved", field=field)
    return key


def fold_username(text: str) -> str:
    """Fold case and compatibility forms (Unicode 16, section 3.13.5: toNFKC_Casefold, nearly)."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded)


def _fault(name: str) -> str | None:
    if not 1 <= len(name) <= MAX_USERNAME:
        return f"must be 1 to {MAX_USERNAME} characters"
    if not unicodedata.is_normalized("NFC", name):
        return "must be in Unicode normal form NFC"
    if not all(c in _PUNCTUATION or unicodedata.category(c)[0] in "LMN" for c in name):
        return "may hold letters, digits and . _ @ - only"
    if unicodedata.category(name[0])[0] not in "LN":
        return "must begin with a letter or digit"
    if len({_script(c) for c in name if unicodedata.category(c)[0] == "L"}) > 1:
        return "must not mix scripts: look-alikes of other names are made so"
    return None


def _script(letter: str) -> str:
    """The first word of a letter's name is its script (`LATIN SMALL LETTER A`)."""
    return unicodedata.name(unicodedata.normalize("NFKC", letter)[0], "UNKNOWN").split()[0]
