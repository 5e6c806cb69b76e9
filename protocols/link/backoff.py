"""How long to wait before connecting again: exponential, with full jitter.

Full jitter, a uniform part of the whole window, spreads a fleet best when a control plane comes
back (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

from typing import Final

BASE_SECONDS: Final = 1.0
CAP_SECONDS: Final = 60.0
_MAX_DOUBLINGS: Final = 62


def reconnect_delay(
    attempt: int, jitter: float, spread_ms: int = 0, cap: float = CAP_SECONDS
) -> float:
    """Seconds before attempt number `attempt` (0 is the first after a connection was lost).

    Uniform in [0, min(`cap`, 2 ** attempt)) with `jitter` in [0, 1), of a window that is no smaller
    than the `spread` of the peer's `Bye` (bounded by the cap like any other window).
    """
    window = BASE_SECONDS * 2.0 ** min(max(attempt, 0), _MAX_DOUBLINGS)
    return jitter * min(cap, max(window, spread_ms / 1000))
