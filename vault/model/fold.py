"""One spelling for names that people write in many."""

import unicodedata


def fold_text(text: str) -> str:
    """Fold case and compatibility forms (Unicode 16, section 3.13.5: toNFKC_Casefold, nearly)."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded)
