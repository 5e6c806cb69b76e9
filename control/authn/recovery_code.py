"""Recovery codes: for whoever has lost the authenticator. Each is 80 random bits, and good once.

With that many bits a fast digest is enough, as for bearer secrets (`control.crypto`).
"""

import base64
from typing import Final

from control.crypto import random_bytes, secret_digest

CODE_COUNT: Final = 10
_BYTES: Final = 10
_GROUP: Final = 4


def new_recovery_codes() -> list[str]:
    """To be shown once: `abcd-efgh-ijkl-mnop`."""
    return [
        _group_code(base64.b32encode(random_bytes(_BYTES)).decode().lower())
        for _ in range(CODE_COUNT)
    ]


def recovery_code_digest(org: str, name: str, code: str) -> bytes:
    """What is stored of the account's code, however a person types it."""
    typed = "".join(c for c in code.lower() if c not in " -")
    return secret_digest(f"recovery/{org}/{name}/{typed}")


def _group_code(code: str) -> str:
    return "-".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP))
