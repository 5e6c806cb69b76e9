"""The metrics page of a process: anybody may ask for it, and rendering it takes milliseconds."""

from collections import deque
from collections.abc import Callable
from typing import Final

MAX_RENDERINGS: Final = 4  # a second


class MetricsPage:
    """Rendered at most four times a second, whoever asks; in between the last one is returned."""

    def __init__(self, render: Callable[[], bytes], monotonic: Callable[[], float]) -> None:
        self._render = render
        self._monotonic = monotonic
        self._times: deque[float] = deque(maxlen=MAX_RENDERINGS)
        self._page = b""

    def get(self) -> bytes:
        """The page; after a pause it is fresh, under many requests up to a second old."""
        now = self._monotonic()
        if len(self._times) < MAX_RENDERINGS or now - self._times[0] >= 1:
            self._times.append(now)
            self._page = self._render()
        return self._page
