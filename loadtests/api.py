"""A few calls of the Vault API over TLS, enough to set a server up and to watch it."""

import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

READY_WITHIN = 120.0  # seconds; a million secrets take a while to open
PAUSE = 0.005  # seconds between two looks, and so the error of a measured start


class VaultApi:
    """One server as an operator reaches it; a connection a call."""

    def __init__(self, port: int, ca: Path | None, token: str = "") -> None:
        """Without `ca` it is plain HTTP, as for development."""
        self.base = f"{'https' if ca else 'http'}://127.0.0.1:{port}"
        self.token = token
        self._tls = ssl.create_default_context(cafile=str(ca)) if ca else None

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The decoded answer. Raises `urllib.error.HTTPError` for an error status."""
        request = urllib.request.Request(  # noqa: S310  # the scheme is fixed above
            self.base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, context=self._tls, timeout=30) as reply:  # noqa: S310
            text = reply.read()
        return json.loads(text) if text else None

    def status(self, method: str, path: str, body: object = None) -> int:
        """The status alone, errors included; 0 when there was no answer."""
        try:
            self.call(method, path, body)
        except urllib.error.HTTPError as refused:
            return refused.code
        except (OSError, http.client.HTTPException):
            return 0
        return http.client.OK

    def wait_status(
        self,
        answered: Callable[[int], bool],
        method: str,
        path: str,
        *,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """Ask until the status is one that was wanted. Raises `TimeoutError`, or as `alive` does.

        `alive` is asked each time; it raises when waiting has become pointless.
        """
        end = time.monotonic() + READY_WITHIN
        while time.monotonic() < end:
            if answered(self.status(method, path)):
                return
            alive()
            time.sleep(PAUSE)
        raise TimeoutError(f"{self.base}{path} did not answer as hoped within {READY_WITHIN} s")

    def wait_listening(self, alive: Callable[[], None] = lambda: None) -> None:
        """Until it answers at all; sealed or uninitialised is an answer, too."""
        self.wait_status(bool, "GET", "/v1/sys/health", alive=alive)

    def wait_active(self) -> None:
        """Until it is unsealed and serves."""
        self.wait_status(lambda status: status == http.client.OK, "GET", "/v1/sys/health")


def retry_while_settling(call: Callable[[], Any]) -> Any:
    """OpenBao answers 400 or 500 for a moment while a new mount or leader settles."""
    for _ in range(50):
        with suppress(urllib.error.HTTPError):
            return call()
        time.sleep(0.2)
    return call()
