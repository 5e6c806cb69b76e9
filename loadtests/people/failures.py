"""A failure at any time is the run's, also before Locust's figures begin (`--reset-stats`)."""

from typing import Any

from locust import events
from locust.env import Environment


@events.init.add_listener
def watch(environment: Environment, **_: Any) -> None:
    """Have Locust end with 1 once any request has failed."""

    def look(exception: BaseException | None = None, **_: Any) -> None:
        if exception is not None:
            environment.process_exit_code = 1

    environment.events.request.add_listener(look)
