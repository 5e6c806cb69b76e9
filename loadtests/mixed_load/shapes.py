"""How many users there are at a time: a ramp, a spike, a soak."""

from collections.abc import Callable

from locust import LoadTestShape

from loadtests.mixed_load.load_config import LoadConfig

STEPS = 10
JOIN_WITHIN = 3.0  # seconds for all users to join; at once it would be a test of TLS handshakes
CALM, RUSH = 0.3, 1.5  # of the full number, before, after and during a spike


def ramp(share: float) -> float:
    """Up in ten steps of equal height and length."""
    return min(STEPS, int(share * STEPS) + 1) / STEPS


def spike(share: float) -> float:
    """Calm, then in the middle fifth five times as many at once, then calm."""
    return RUSH if 2 / 5 <= share < 3 / 5 else CALM


def soak(share: float) -> float:  # noqa: ARG001  # the same at all times
    """Everybody, all the time."""
    return 1.0


SHAPES: dict[str, Callable[[float], float]] = {"ramp": ramp, "spike": spike, "soak": soak}
"""Share of the time that has passed (0 to 1) → share of the users."""


class Shape(LoadTestShape):
    """The shape that the world names."""

    def __init__(self) -> None:
        super().__init__()
        self._world = LoadConfig.from_environment()

    def tick(self) -> tuple[int, float] | None:
        """Users, and how many of them may join a second; the end after the time."""
        share = self.get_run_time() / self._world.seconds
        if share >= 1:
            return None
        users = max(1, round(self._world.users * SHAPES[self._world.shape](share)))
        return users, self._world.users / JOIN_WITHIN
