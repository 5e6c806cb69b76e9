"""What the users need to know of the server; it comes to Locust's process in its environment."""

import json
import os
import random
import ssl
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Self

VARIABLE = "FREEHOLD_PEOPLE"
FOLDER = "people"


@dataclass(kw_only=True)
class LoadConfig:
    """Credentials, secrets, and how many users come when."""

    ca: str  # path of the certificate that vouches for the server
    application: str  # what an application or job logs in with
    administrator: str
    names: int  # secrets that are there from the start
    shape: str  # ramp, spike, soak
    users: int
    seconds: float

    @classmethod
    def from_environment(cls) -> Self:
        """From the environment. Raises `KeyError` where Locust was started by hand without it."""
        return cls(**json.loads(os.environ[VARIABLE]))

    def environment(self) -> dict[str, str]:
        """For the environment."""
        return {VARIABLE: json.dumps(asdict(self))}

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """Trusts our own authority alone."""
        return ssl.create_default_context(cafile=self.ca)

    def some_path(self) -> str:
        """One of the secrets, by the laws of applications: few of them are read most."""
        return path(min(self.names - 1, int(random.paretovariate(0.5)) - 1))


def path(index: int) -> str:
    """Where the secret of this number is, in folders of a thousand as the seeding makes them."""
    return f"/v1/secret/data/{FOLDER}/{index // 1000}/{index % 1000}"
