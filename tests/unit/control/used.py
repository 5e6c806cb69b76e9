"""Reports of use, in tests."""

from typing import Any

from protocols.link import messages as m
from protocols.link.vocabulary import OperationName

HOUR = 3600
NONE = (0,) * 7
UNSEEN = m.Secrets(at=0, total=0, never_read=0, expired=0, idle=NONE, age=NONE, expires=NONE)


def named(
    who: str, reads: int, *, last: int = 1, rotated: int = 1, expires: int = 0
) -> m.SecretUse:
    """One secret; times in Unix seconds."""
    return m.SecretUse(
        secret=who.encode().ljust(16, b"-"),
        reads=reads,
        last_read=last * 1000,
        rotated_at=rotated * 1000,
        expires_at=expires * 1000,
    )


def report(since: int, until: int, *secrets: m.SecretUse, **changes: Any) -> m.Usage:
    """As an agent tells it; Unix seconds. 10 reads of which 1 failed, by one identity."""
    read = m.OperationUse(name=OperationName.SECRET_READ, count=10, failed=1)
    fields: dict[str, Any] = {
        "since": since * 1000,
        "until": until * 1000,
        "operations": (read,),
        "secrets": UNSEEN,
        "named": secrets,
        "identities": (m.IdentityUse(identity=b"u" * 16, count=10),),
    }
    return m.Usage(**{**fields, **changes})


def hexed(who: str) -> str:
    """The opaque id of `named`."""
    return who.encode().ljust(16, b"-").hex()
