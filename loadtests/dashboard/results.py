"""What was found before one fleet."""

from typing import NamedTuple


class DashboardResult(NamedTuple):
    """Times of events are milliseconds to the changed DOM and to its drawn frame; sizes bytes."""

    agents: int
    opened: float
    """Seconds from the address to the first curves."""
    snapshot: int
    bytes_a_minute: float
    messages_a_minute: float
    alert: list[tuple[float, float]]
    link: list[tuple[float, float]]
    heap: list[float]
    """MiB before and after each hour."""
    nodes: list[int]
    """Of the DOM, at the same moments."""
    events: int
    """Reports that came in those hours."""
