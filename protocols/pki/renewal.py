"""When an agent renews: at a moment of its own between 50 % and 66 % of the certificate's life.

The spread keeps a fleet that enrolled together from coming back together; a third of the life is
left for a control plane that is away.
"""

from typing import Final

EARLIEST: Final = 0.50
LATEST: Final = 0.66


def renewal_time(not_before: int, not_after: int, jitter: float) -> int:
    """The instant (Unix nanoseconds); `jitter` in [0, 1), drawn once for each certificate."""
    share = EARLIEST + (LATEST - EARLIEST) * jitter
    return not_before + round((not_after - not_before) * share)
