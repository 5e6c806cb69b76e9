"""Applications, CI jobs and administrators over HTTP/1.1."""

import itertools
import random
import ssl
from typing import Any, ClassVar

from locust import FastHttpUser, between, constant_throughput, task

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
