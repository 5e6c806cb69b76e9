"""A POST to an address that somebody named: pinned, bounded, not redirected, its answer unread."""

import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import httpx2
import trio

from control.errors import ValidationError
from control.notify.errors import PermanentDeliveryError, TransientDeliveryError
from control.notify.network_policy import NetworkPolicy, Resolver, TargetUrl, unreachable_error
from protocols.errors import locate

SECONDS: Final = 15.0  # for all of it
MAX_CONCURRENT: Final = 64
MAX_BODY: Final = 256 * 1024
_TRANSIENT: Final = frozenset({404, 408, 409, 425, 429})  # of those below 500; 404: being deployed
_FAULT: Final = 500


class HttpPoster:
    """Sends bodies; tells by status alone."""

    def __init__(self, policy: NetworkPolicy, resolver: Resolver, tls: ssl.SSLContext) -> None:
        self._reach = policy
        self._resolve = resolver
        self._tls = tls
        self._slots = trio.CapacityLimiter(MAX_CONCURRENT)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Returns once it was taken (2xx). Raises `DeliveryError`."""
        try:
            place = self._reach.parse_url(url)
        except ValidationError as error:
            raise PermanentDeliveryError(error.message) from None
        if len(body) > MAX_BODY:
            raise PermanentDeliveryError("the message is too long")
        try:
            # To wait for a place behind others is no failure: the time begins with it.
            async with self._slots:
                return await self._post_once(place, body, headers)
        except trio.TooSlowError:
            raise TransientDeliveryError(f"no answer within {SECONDS:.0f} seconds") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise _delivery_error(url, error) from None

    async def _post_once(self, place: TargetUrl, body: bytes, headers: Mapping[str, str]) -> None:
        with trio.fail_after(SECONDS):
            address = await self._reach.resolve_address(
                place.host, place.port, self._resolve, plain=place.scheme == "http"
            )
            status, after = await self._request(place, address, body, headers)
        _raise_for_status(status, after)

    async def _request(
        self, place: TargetUrl, address: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, str]:
        """Status and `Retry-After`. The certificate is checked for the name, not the address."""
        sent = {**headers, "Host": place.host_header, "Accept-Encoding": "identity"}
        name = {"sni_hostname": place.host}
        async with (
            httpx2.AsyncClient(verify=self._tls, timeout=SECONDS, trust_env=False) as http,
            http.stream(
                "POST", place.url_at(address), content=body, headers=sent,
                follow_redirects=False, extensions=name,
            ) as reply,
        ):  # fmt: skip
            return reply.status_code, reply.headers.get("Retry-After", "")


def _raise_for_status(status: int, after: str) -> None:
    if status in range(200, 300):
        return
    if status in range(300, 400):
        raise PermanentDeliveryError(f"it answered {status}: redirects are not followed")
    wait = float(after) if after.isascii() and after.isdigit() and len(after) < 8 else 0.0  # noqa: PLR2004  # far above what is believed
    if status < _FAULT and status not in _TRANSIENT:
        raise PermanentDeliveryError(f"it answered {status}")
    raise TransientDeliveryError(f"it answered {status}", wait)


def _delivery_error(url: str, error: Exception) -> TransientDeliveryError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return TransientDeliveryError("its certificate is not one to trust")
        cause = cause.__cause__ or cause.__context__
    return unreachable_error(
        urlsplit(url).netloc, f"no connection, or it broke off ({locate(error)})"
    )
