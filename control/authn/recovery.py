"""Recovery codes: for whoever has lost the authenticator. Each is 80 random bits, and good once.

With that many bits a fast digest is enough, as for bearer secrets (`control.crypto`).
"""

import base64
from typing import Final

from control.crypto import digest_of, random_bytes

COUNT: Final = 10
_BYTES: Final = 10
_GROUP: Final = 4


def new_codes() -> list[str]:
    """To be shown once: `abcd-efgh-ijkl-mnop`."""
    return [_grouped(base64.b32encode(random_bytes(_BYTES)).decode().lower()) for _ in range(COUNT)]


def digest(org: str, name: str, code: str) -> bytes:
    """What is stored of the account's code, however a person types it."""
    typed = "".join(c for c in code.lower() if c not in " -")
    return digest_of(f"recovery/{org}/{name}/{typed}")


def _grouped(code: str) -> str:
    return "-".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP))
