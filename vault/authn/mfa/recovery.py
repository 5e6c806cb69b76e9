"""Recovery codes: ten of 80 bits, each good once, for when the other factor is lost."""

import base64
import re
from collections.abc import Callable
from typing import Final

from vault.authn.credential_scheme import CredentialScheme

CODES: Final = 10
_SIZE: Final = 10  # bytes of a code
_GROUP: Final = 4
_PREFIX: Final = "recovery-code/"  # a text that is no credential of any kind
_SHAPE: Final = re.compile(r"[a-z2-7]{16}", re.ASCII)


def new_codes(random: Callable[[int], bytes]) -> list[str]:
    """Fresh ones, as they are shown."""
    return [_shown(base64.b32encode(random(_SIZE)).decode().lower()) for _ in range(CODES)]


def looks_like_code(text: str) -> bool:
    """Whether a passcode is meant as one: an app's are digits."""
    return _SHAPE.fullmatch(_plain(text)) is not None


def code_hash(scheme: CredentialScheme, text: str) -> str:
    """The keyed hash of a code, by which its row is found."""
    return scheme.locate(_PREFIX + _plain(text)).secret_hash.hex()


def _plain(text: str) -> str:
    return text.lower().replace("-", "").replace(" ", "")


def _shown(plain: str) -> str:
    return "-".join(plain[at : at + _GROUP] for at in range(0, len(plain), _GROUP))
