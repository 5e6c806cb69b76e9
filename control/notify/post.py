"""A POST to an address that somebody named: pinned, bounded, not redirected, its answer unread."""

import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import httpx2
import trio

from control.errors import ValidationError
from control.notify.errors import FailedError, RefusedError
from control.notify.reach import Place, Reach, Resolve, unreachable
from protocols.errors import where

SECONDS: Final = 15.0  # for all of it
AT_ONCE: Final = 64
MAX_BODY: Final = 256 * 1024
_TRANSIENT: Final = frozenset({404, 408, 409, 425, 429})  # of those below 500; 404: being deployed
_FAULT: Final = 500


class Poster:
    """Sends bodies; tells by status alone."""

    def __init__(self, reach: Reach, resolve: Resolve, tls: ssl.SSLContext) -> None:
        self._reach = reach
        self._resolve = resolve
        self._tls = tls
        self._slots = trio.CapacityLimiter(AT_ONCE)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Returns once it was taken (2xx). Raises `UndeliveredError`."""
        try:
            place = self._reach.place(url)
        except ValidationError as error:
            raise RefusedError(error.message) from None
        if len(body) > MAX_BODY:
            raise RefusedError("the message is too long")
        try:
            # To wait for a place behind others is no failure: the time begins with it.
            async with self._slots:
                return await self._posted(place, body, headers)
        except trio.TooSlowError:
            raise FailedError(f"no answer within {SECONDS:.0f} seconds") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise _failed(url, error) from None

    async def _posted(self, place: Place, body: bytes, headers: Mapping[str, str]) -> None:
        with trio.fail_after(SECONDS):
            address = await self._reach.address(
                place.host, place.port, self._resolve, plain=place.scheme == "http"
            )
            status, after = await self._ask(place, address, body, headers)
        _judge(status, after)

    async def _ask(
        self, place: Place, address: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, str]:
        """Status and `Retry-After`. The certificate is checked for the name, not the address."""
        sent = {**headers, "Host": place.authority, "Accept-Encoding": "identity"}
        name = {"sni_hostname": place.host}
        async with (
            httpx2.AsyncClient(verify=self._tls, timeout=SECONDS, trust_env=False) as http,
            http.stream(
                "POST", place.at(address), content=body, headers=sent,
                follow_redirects=False, extensions=name,
            ) as reply,
        ):  # fmt: skip
            return reply.status_code, reply.headers.get("Retry-After", "")


def _judge(status: int, after: str) -> None:
    if status in range(200, 300):
        return
    if status in range(300, 400):
        raise RefusedError(f"it answered {status}: redirects are not followed")
    wait = float(after) if after.isascii() and after.isdigit() and len(after) < 8 else 0.0  # noqa: PLR2004  # far above what is believed
    if status < _FAULT and status not in _TRANSIENT:
        raise RefusedError(f"it answered {status}")
    raise FailedError(f"it answered {status}", wait)


def _failed(url: str, error: Exception) -> FailedError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return FailedError("its certificate is not one to trust")
        cause = cause.__cause__ or cause.__context__
    return unreachable(urlsplit(url).netloc, f"no connection, or it broke off ({where(error)})")
