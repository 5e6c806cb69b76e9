"""A client of the Kubernetes API on Trio: objects, pages of lists, watches, patches.

https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import httpx2
import msgspec

from actors import World
from kube_operator.errors import (
    BodyTooLongError,
    ClusterError,
    ConflictError,
    ExpiredError,
    InvalidObjectError,
    MissingError,
)
from kube_operator.objects import MANAGER, Document, Resource

TIMEOUT: Final = 30.0  # seconds of one request that is no watch
PAGE: Final = 500  # objects of a page of a list, as client-go asks for
MAX_BODY: Final = 64 << 20  # bytes of one answer: a page of objects of 100 KiB each
MAX_LINE: Final = 8 << 20  # bytes of one event of a watch; etcd keeps no object over 1.5 MiB
TOKEN_AGE: Final = 60.0  # seconds after which the token's file is read again; kubelets renew it
_UNAUTHORIZED: Final = 401
_OK: Final = range(200, 300)
_ERRORS: Final = {404: MissingError, 409: ConflictError, 410: ExpiredError, 422: InvalidObjectError}
_SAFE_TO_REPEAT: Final = frozenset({401, 403, 404, 409, 410, 429, 503, 504})
_APPLY: Final = "application/apply-patch+yaml"  # JSON is YAML
_MERGE: Final = "application/merge-patch+json"


class WatchEvent(msgspec.Struct, frozen=True):
    """A line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""

    type: str
    object: Document


class _Status(msgspec.Struct, frozen=True):
    """What is read of a `Status` object."""

    reason: str = ""
    message: str = ""
    code: int = 0


_decode_event: Final = msgspec.json.Decoder(WatchEvent).decode
_decode_document: Final = msgspec.json.Decoder(Document).decode
_decode_status: Final = msgspec.json.Decoder(_Status).decode


class KubernetesApi:
    """Requests to one API server, by a token that is read from a file and read again."""

    def __init__(self, http: httpx2.AsyncClient, token_file: Path | None, world: World) -> None:
        self._http = http
        self._token_file = token_file
        self._world = world
        self._token = ""
        self._read_at = -TOKEN_AGE

    async def read(self, resource: Resource, namespace: str, name: str) -> Document:
        """An object. Raises `ClusterError`."""
        return await self._request("GET", resource.path(namespace, name))

    async def create(
        self, resource: Resource, namespace: str, body: Document, *, name: str = "", part: str = ""
    ) -> Document:
        """A new object, or what a subresource `part` of the object `name` makes of the body.

        Raises `ConflictError` where there is one, and `ClusterError`.
        """
        return await self._request("POST", resource.path(namespace, name, part), body)

    async def replace(
        self, resource: Resource, namespace: str, name: str, body: Document
    ) -> Document:
        """The object is as `body` from now on.

        Raises `ConflictError` for another uid or resource version than those of `body`.
        """
        return await self._request("PUT", resource.path(namespace, name), body)

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """The object of that uid is gone. Raises `ConflictError` for another one of the name."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        await self._request("DELETE", resource.path(namespace, name), body)

    async def apply(self, resource: Resource, namespace: str, body: Document) -> Document:
        """Server-side apply: fields that `body` has are ours, whoever set them before."""
        path = resource.path(namespace, body["metadata"]["name"])
        query = {"fieldManager": MANAGER, "force": "true"}
        return await self._request("PATCH", path, body, media_type=_APPLY, query=query)

    async def patch(
        self, resource: Resource, namespace: str, name: str, patch: object, *,
        part: str = "",
    ) -> Document:  # fmt: skip
        """A merge patch (RFC 7396) of an object, or of its subresource `part`."""
        path = resource.path(namespace, name, part)
        query = {"fieldManager": MANAGER}
        return await self._request("PATCH", path, patch, media_type=_MERGE, query=query)

    async def list_pages(
        self, resource: Resource, namespace: str
    ) -> AsyncIterator[tuple[list[Document], str]]:
        """Pages of objects, and the resource version to watch from, which all pages have.

        Raises `ExpiredError` where a list took too long: begin anew.
        """
        query = {"limit": str(PAGE)}
        while True:
            page = await self._request("GET", resource.path(namespace), query=query)
            metadata = page.get("metadata", {})
            yield page.get("items") or [], metadata.get("resourceVersion", "")
            if not metadata.get("continue"):
                return
            query = {"limit": str(PAGE), "continue": metadata["continue"]}

    @asynccontextmanager
    async def watch(
        self, resource: Resource, namespace: str, resource_version: str, seconds: int
    ) -> AsyncIterator[AsyncGenerator[WatchEvent, None]]:
        """Events from a resource version on, for so many seconds at most.

        The server may end it at any time. Raises `ExpiredError`, `ClusterError`.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
        }
        timeout = httpx2.Timeout(TIMEOUT, read=seconds + TIMEOUT)
        headers = {"Authorization": await self._authorization(), "Accept": "application/json"}
        try:
            async with self._http.stream(
                "GET", resource.path(namespace), params=query, headers=headers, timeout=timeout
            ) as reply:
                if reply.status_code not in _OK:
                    if reply.status_code == _UNAUTHORIZED:
                        self._read_at = -TOKEN_AGE
                    raise _error(reply.status_code, await _read(reply))
                async with aclosing(_events(reply)) as events:
                    yield events
        except httpx2.HTTPError as error:
            raise _unreachable(error) from None

    async def _request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        media_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Document:
        status, answer = await self._send(method, path, body, media_type, query)
        if status == _UNAUTHORIZED:  # a token that was renewed meanwhile
            self._read_at = -TOKEN_AGE
            status, answer = await self._send(method, path, body, media_type, query)
        if status not in _OK:
            raise _error(status, answer)
        try:
            return _decode_document(answer)
        except msgspec.MsgspecError:
            raise ClusterError(status, "", "the answer is no JSON object") from None

    async def _send(
        self, method: str, path: str, body: object, media_type: str,
        query: Mapping[str, str] | None,
    ) -> tuple[int, bytes]:  # fmt: skip
        headers = {"Authorization": await self._authorization(), "Accept": "application/json"}
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            headers["Content-Type"] = media_type
        try:
            async with self._http.stream(
                method, path, content=content, params=query, headers=headers, timeout=TIMEOUT
            ) as reply:
                return reply.status_code, await _read(reply)
        except httpx2.HTTPError as error:
            raise _unreachable(error) from None

    async def _authorization(self) -> str:
        now = self._world.monotonic()
        if self._token_file is not None and now - self._read_at >= TOKEN_AGE:
            try:
                self._token = (await self._world.run_sync(self._token_file.read_text)).strip()
            except OSError as error:
                if not self._token:
                    text = f"the token {self._token_file} cannot be read: {error.strerror}"
                    raise ClusterError(0, "", text) from None
            self._read_at = now
        return f"Bearer {self._token}"


@asynccontextmanager
async def open_api(
    url: str, ca_file: Path | None, token_file: Path | None, world: World
) -> AsyncIterator[KubernetesApi]:
    """A client for the length of the block. Raises `OSError` and `ssl.SSLError` for the CA."""
    context = await world.run_sync(_context, ca_file)
    limits = httpx2.Limits(max_connections=64, max_keepalive_connections=16)
    async with httpx2.AsyncClient(
        base_url=url, verify=context, trust_env=False, follow_redirects=False, limits=limits
    ) as http:
        yield KubernetesApi(http, token_file, world)


def _context(ca_file: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


@asynccontextmanager
async def _chunks(reply: httpx2.Response) -> AsyncIterator[AsyncIterator[bytes]]:
    """What comes of a body within the block; the rest is not read.

    The client's generators are nested, and closing the outer one leaves the inner ones open. So the
    connection is closed, and all of them end by that.
    """
    chunks = reply.aiter_bytes()
    try:
        yield chunks
    finally:
        with suppress(httpx2.HTTPError, httpx2.StreamError):
            await reply.aclose()
            async for _ in chunks:
                pass


async def read_body(reply: httpx2.Response, limit: int) -> bytes:
    """The body of an answer. Raises `BodyTooLongError` and `httpx2.HTTPError`."""
    found = bytearray()
    async with _chunks(reply) as chunks:
        async for chunk in chunks:
            found += chunk
            if len(found) > limit:
                raise BodyTooLongError(f"the answer is longer than {limit} bytes")
    return bytes(found)


async def _read(reply: httpx2.Response) -> bytes:
    try:
        return await read_body(reply, MAX_BODY)
    except BodyTooLongError as error:
        raise ClusterError(0, "", str(error)) from None


async def _events(reply: httpx2.Response) -> AsyncGenerator[WatchEvent, None]:
    """A line an event; what is cut off in the middle of a line was no event."""
    rest = bytearray()
    async with _chunks(reply) as chunks:
        async for chunk in chunks:
            rest += chunk
            *lines, rest = rest.split(b"\n")
            for line in filter(None, lines):
                yield _event(bytes(line))
            if len(rest) > MAX_LINE:
                raise ClusterError(0, "", f"an event is longer than {MAX_LINE} bytes")


def _event(line: bytes) -> WatchEvent:
    try:
        event = _decode_event(line)
    except msgspec.MsgspecError:
        raise ClusterError(0, "", "an event of a watch is no JSON") from None
    if event.type == "ERROR":
        raise _error(int(event.object.get("code", 500)), msgspec.json.encode(event.object))
    return event


def _error(status: int, answer: bytes) -> ClusterError:
    try:
        found = _decode_status(answer)
    except msgspec.MsgspecError:
        found = _Status(message=f"HTTP {status}")
    kind = _ERRORS.get(status, ClusterError)
    # Why an object is invalid may repeat what is in it.
    text = found.message if status in _SAFE_TO_REPEAT else f"HTTP {status}"
    return kind(status, found.reason, text)


def _unreachable(error: httpx2.HTTPError) -> ClusterError:
    return ClusterError(0, "", f"it is not reached: {type(error).__name__}")
