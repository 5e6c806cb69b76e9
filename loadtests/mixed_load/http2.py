"""An application over HTTP/2, which Locust's own clients do not speak."""

import logging
import time
from typing import ClassVar

import httpx2
from locust import User, constant_throughput, task

from loadtests.mixed_load.load_config import LoadConfig

logging.getLogger("httpx2").setLevel(logging.WARNING)  # it writes a line for each request


class Http2Application(User):
    """Reads over one HTTP/2 connection of its own."""

    weight = 1
    wait_time = constant_throughput(10)
    world: ClassVar[LoadConfig] = LoadConfig.from_environment()

    def on_start(self) -> None:
        """Open a client; the connection comes with the first request."""
        self.client = httpx2.Client(
            http2=True, http1=False, verify=self.world.tls, base_url=self.host or "",
            headers={"X-Vault-Token": self.world.application},
        )  # fmt: skip

    def on_stop(self) -> None:
        """Close it."""
        self.client.close()

    @task
    def read(self) -> None:
        """A secret, and a line in the statistics."""
        began = time.perf_counter()
        failure: Exception | None = None
        size = 0
        try:
            reply = self.client.get(self.world.some_path())
            size = len(reply.content)
            reply.raise_for_status()
        except httpx2.HTTPError as error:
            failure = error
        self.environment.events.request.fire(
            request_type="GET", name="application, HTTP/2: read", response_length=size,
            response_time=(time.perf_counter() - began) * 1e3, exception=failure, context={},
        )  # fmt: skip
