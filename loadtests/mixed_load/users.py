"""Applications, CI jobs and administrators over HTTP/1.1."""

import itertools
import logging
import random
import ssl
import time
from collections.abc import Callable
from typing import Any, ClassVar

import httpx2
from locust import FastHttpUser, LoadTestShape, User, between, constant_throughput, task

from loadtests.mixed_load.load_config import FOLDER, LoadConfig

LOGIN = "/v1/auth/token/create"
BURST = 20  # secrets that a job needs, one after the other
_NUMBER = itertools.count()


class LoadUser(FastHttpUser):
    """Logs in for a short-lived token of its own, and gives it back at the end."""

    abstract = True
    insecure = False
    world: ClassVar[LoadConfig] = LoadConfig.from_environment()
    credential = world.application

    @staticmethod
    def ssl_context_factory() -> ssl.SSLContext:
        """One for all: making one costs more than a handshake."""
        return LoadUser.world.tls

    def on_start(self) -> None:
        """Start with an own token and an own secret."""
        self.own = f"/v1/secret/data/{FOLDER}-own/{type(self).__name__}-{next(_NUMBER)}"
        self.token = ""
        self.log_in()

    def on_stop(self) -> None:
        """Log out."""
        self.log_out()

    def log_in(self) -> None:
        """Exchange the credential for a token."""
        asked = {"ttl": "1h", "renewable": True}
        self.token = self.credential
        made = self.call_api("POST", LOGIN, "log in", asked)
        self.token = made["auth"]["client_token"] if made else ""

    def log_out(self) -> None:
        """Revoke the token."""
        self.call_api("POST", "/v1/auth/token/revoke-self", "log out")

    def call_api(self, method: str, path: str, name: str, body: object = None) -> Any:
        """One request under a name of the statistics; the decoded answer, None without one."""
        with self.client.request(
            method, path, name=name, json=body, headers={"X-Vault-Token": self.token},
            catch_response=True,
        ) as reply:  # fmt: skip
            if reply.status_code >= 400 or reply.status_code == 0:  # noqa: PLR2004  # RFC 9110
                reply.failure(f"{reply.status_code}: {(reply.text or '')[:200]}")
                return None
            return reply.json() if reply.text else None


class Application(LoadUser):
    """Reads mostly; renews its token; now and then rotates a password of its own."""

    weight = 8
    wait_time = constant_throughput(10)

    @task(94)
    def read(self) -> None:
        """A secret that it needs."""
        self.call_api("GET", self.world.some_path(), "application: read")

    @task(3)
    def renew(self) -> None:
        """The token, long before it expires."""
        self.call_api("POST", "/v1/auth/token/renew-self", "application: renew", {})

    @task(3)
    def rotate(self) -> None:
        """A new version of its own secret, read back."""
        password = str(random.getrandbits(128))  # nobody's password
        told = self.call_api(
            "POST", self.own, "application: rotate", {"data": {"password": password}}
        )
        if told:
            self.call_api("GET", self.own, "application: read back")


class Job(LoadUser):
    """A CI job: logs in, reads all it needs at once, logs out, and comes back later."""

    weight = 2
    wait_time = between(1, 3)

    def on_start(self) -> None:
        """Each run logs in anew."""
        self.token = ""

    def on_stop(self) -> None:
        """Each run has logged out."""

    @task
    def run_once(self) -> None:
        """One run of the job."""
        self.log_in()
        for _ in range(BURST):
            self.call_api("GET", self.world.some_path(), "job: read")
        self.log_out()


class Administrator(LoadUser):
    """Looks around, writes secrets and policies."""

    weight = 1
    wait_time = between(0.2, 1)
    credential = LoadUser.world.administrator

    @task(4)
    def list_folder(self) -> None:
        """What there is."""
        self.call_api("LIST", f"/v1/secret/metadata/{FOLDER}/0", "administrator: list")

    @task(3)
    def write(self) -> None:
        """A secret for somebody."""
        self.call_api("POST", self.own, "administrator: write", {"data": {"given": "away"}})

    @task(1)
    def policy(self) -> None:
        """A policy for somebody, and a look at it."""
        rule = {"effect": "allow", "paths": [f"secret/{FOLDER}/*"], "capabilities": ["read"]}
        path = f"/api/v1/policies/made-{random.randrange(10)}"  # noqa: S311  # a name
        self.call_api("PUT", path, "administrator: write policy", {"rules": [rule]})
        self.call_api("GET", path, "administrator: read policy")


# An application over HTTP/2, which Locust's own clients do not speak.


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


# How many users there are at a time: a ramp, a spike, a soak.


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
