"""When the agent asks for its next certificate, and again if it was not answered: pure.

A certificate is exchanged at 50 to 66 % of its life (`protocols.pki.profile`). A control plane
that is away is asked again with exponential backoff and full jitter, at most every five minutes;
an agent whose certificate has expired meanwhile comes back by its link key, however late.
"""

from typing import Final

from protocols.instant import SECOND
from protocols.pki.profile import renewal_time

BASE: Final = 2.0
RETRY_CAP: Final = 300.0
_MAX_DOUBLINGS: Final = 16


def seconds_until_renewal(begins: int, expires: int, jitter: float, now: int) -> float:
    """Seconds until the renewal; 0 when it is due. Instants: Unix nanoseconds."""
    return max(0.0, (renewal_time(begins, expires, jitter) - now) / SECOND)


def seconds_until_retry(attempt: int, jitter: float) -> float:
    """Seconds before asking again, `attempt` counted from 0; never less than one second."""
    return 1.0 + jitter * min(RETRY_CAP, BASE * 2.0 ** min(attempt, _MAX_DOUBLINGS))
