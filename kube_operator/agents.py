"""Agents, asked as a service account of a resource's namespace; and who follows their changes.

A resource is never looked after by a right of the operator's own: the agent decides by the account
that the resource names, as it would for a pod. So nobody gets by a resource what he would not get
by a pod.
"""

import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx2
import msgspec
import trio
from msgspec import Struct

from actors import World
from kube_operator.api import KubernetesApi, read_body
from kube_operator.errors import (
    AgentError,
    BodyTooLongError,
    ClusterError,
    MissingError,
    SpecError,
)
from kube_operator.objects import CONFIG_MAPS, SERVICE_ACCOUNTS, Document, Key
from kube_operator.specs import MAX_PATHS, AgentTarget

TIMEOUT: Final = 30.0  # seconds of one request that does not wait for changes
WAIT: Final = 60  # seconds that a request waits for a change
MAX_BODY: Final = 4 << 20  # bytes of an answer; a Secret holds 1 MiB, JSON escapes of it are more
MAX_SESSIONS: Final = 1_000
TOKEN_SECONDS: Final = 600  # of a service account's token, the least that Kubernetes issues
FIRST_DELAY: Final = 0.5  # seconds until a follower tries again; doubled at each failure
LAST_DELAY: Final = 60.0
USER_AGENT: Final = "freehold-operator"  # it is in the agent's audit log
_CHANGES_EXPIRED: Final = "changes_expired"
_UNAUTHENTICATED: Final = 401
_OK: Final = range(200, 300)
_REASONS: Final = {
    401: "LoginRefused", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 429: "RateLimited",
    503: "AgentUnavailable",
}  # fmt: skip

log: Final = logging.getLogger("freehold.kubernetes")

User = tuple[str, Key]
"""A resource: its kind and its name."""


class SecretValue(Struct, frozen=True, kw_only=True):
    """What is read of a secret. Its repr never shows the value."""

    value: Any
    version: int
    updated_at: str = ""

    def __repr__(self) -> str:
        return f"SecretValue(version={self.version})"


class _Error(Struct, frozen=True):
    code: str = ""
    message: str = ""
    details: dict[str, Any] = {}


class _Changed(Struct, frozen=True):
    path: str


class _Changes(Struct, frozen=True):
    changes: list[_Changed]
    cursor: str
    has_more: bool


class _Token(Struct, frozen=True):
    token: str


@dataclass(frozen=True)
class AgentIdentity:
    """An agent, and whom it is asked as. `ca`: authorities as PEM; empty for the system's."""

    address: str
    ca: str
    mount: str
    role: str
    audience: str
    namespace: str
    service_account: str


class AgentSession:
    """Requests to one agent as one service account. It logs in when it has to."""

    def __init__(
        self, identity: AgentIdentity, http: httpx2.AsyncClient, api: KubernetesApi
    ) -> None:
        self.identity = identity
        self._http = http
        self._api = api
        self._token = ""
        self._logging_in = trio.Lock()

    async def read_secret(self, path: str) -> SecretValue:
        """Read the current version of a secret. Raises `AgentError`."""
        answer = await self._call("GET", f"secrets/{_quoted(path)}")
        try:
            return msgspec.json.decode(answer, type=SecretValue)
        except msgspec.MsgspecError:
            raise _unreadable() from None

    async def wait_for_changes(
        self, since: str, paths: Iterable[str], wait: int
    ) -> tuple[list[str], str]:
        """Secrets that changed, and the cursor to go on from. Without `since`: only that, at once.

        `wait`: seconds until an answer without changes. Raises `AgentError`, of the code
        `changes_expired` where too much happened since.
        """
        query = {}
        if since:
            query = {"since": since, "wait": f"{wait}s", "prefix": ",".join(paths)}
        found = await self._call("GET", "changes", query=query, seconds=wait + TIMEOUT)
        try:
            body = msgspec.json.decode(found, type=_Changes)
        except msgspec.MsgspecError:
            raise _unreadable() from None
        return [each.path for each in body.changes], body.cursor

    async def acknowledge(self, path: str, version: int) -> None:
        """Have it on record that this version is in use."""
        await self._call("POST", "changes/ack", {"path": path, "version": version})

    async def read_policy(self, name: str) -> Document | None:
        """The policy as it is now; None where there is none."""
        try:
            answer = await self._call("GET", f"policies/{_quoted(name)}")
        except AgentError as error:
            if error.reason != "NotFound":
                raise
            return None
        return _document(answer)

    async def validate_policy(self, name: str, document: Document) -> Document:
        """Validate a policy; returns the document as the agent would keep it."""
        answer = await self._call("POST", f"policies/{_quoted(name)}/validate", document)
        return _document(answer)

    async def write_policy(self, name: str, document: Document) -> Document:
        """Write a policy, which is in force at once; returns it as it is kept."""
        return _document(await self._call("PUT", f"policies/{_quoted(name)}", document))

    async def delete_policy(self, name: str) -> None:
        """Delete a policy; one that does not exist is no error."""
        try:
            await self._call("DELETE", f"policies/{_quoted(name)}")
        except AgentError as error:
            if error.reason != "NotFound":
                raise

    async def close(self) -> None:
        """Revoke the token, if the agent answers at once, and close all connections."""
        with trio.move_on_after(2, shield=True):
            try:
                if self._token:
                    await self._send("DELETE", "tokens/self", None, {}, 2.0)
            except AgentError:
                pass  # it ends by itself
            await self._http.aclose()

    async def _call(
        self, method: str, path: str, body: object = None, *,
        query: dict[str, str] | None = None, seconds: float = TIMEOUT,
    ) -> bytes:  # fmt: skip
        used = self._token
        if used:
            try:
                return await self._send(method, path, body, query or {}, seconds)
            except AgentError as error:
                if error.status != _UNAUTHENTICATED:
                    raise
        async with self._logging_in:
            if self._token == used:  # not secret: both are ours; nobody has logged in meanwhile
                self._token = ""
                self._token = await self._log_in()
        return await self._send(method, path, body, query or {}, seconds)

    async def _log_in(self) -> str:
        """Exchange a fresh token of the service account for one of the agent's."""
        identity = self.identity
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [identity.audience], "expirationSeconds": TOKEN_SECONDS},
        }
        try:
            made = await self._api.create(
                SERVICE_ACCOUNTS, identity.namespace, request,
                name=identity.service_account, part="token",
            )  # fmt: skip
        except MissingError:
            text = f"there is no service account {identity.service_account}"
            raise AgentError(0, "", "NoServiceAccount", text) from None
        except ClusterError as error:
            raise AgentError(0, "", "NoToken", f"no token was issued: {error}") from None
        body = {"role": identity.role, "jwt": made["status"]["token"]}
        try:
            path = f"auth/login/{_quoted(identity.mount)}/login"
            answer = await self._send("POST", path, body, {}, TIMEOUT)
        except AgentError as error:
            if error.status and error.status not in {429, 503}:
                text = f"the login as {identity.role} at {identity.mount} is refused"
                raise AgentError(error.status, error.code, "LoginRefused", text) from None
            raise
        try:
            return msgspec.json.decode(answer, type=_Token).token
        except msgspec.MsgspecError:
            raise _unreadable() from None

    async def _send(
        self, method: str, path: str, body: object, query: dict[str, str], seconds: float
    ) -> bytes:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        try:
            async with self._http.stream(
                method, f"/api/v1/{path}", content=content, params=query, headers=headers,
                timeout=seconds,
            ) as reply:  # fmt: skip
                answer = await read_body(reply, MAX_BODY)
        except httpx2.HTTPError as error:
            text = f"{self.identity.address} is not reached: {type(error).__name__}"
            raise AgentError(0, "", "AgentUnreachable", text) from None
        except BodyTooLongError:
            raise _unreadable() from None
        if reply.status_code not in _OK:
            raise _refusal(reply.status_code, answer)
        return answer


@dataclass
class _Follower:
    """A session, and which resources want to know of which secrets."""

    session: AgentSession
    users: dict[User, frozenset[str]]
    scope: trio.CancelScope
    """Of the request that waits: cancelled when there are other names to wait for."""


class Agents:
    """All sessions. `on_change` is called for each resource whose secrets may have changed.

    `allowed`: patterns of addresses that resources may name.
    """

    def __init__(
        self, api: KubernetesApi, world: World, on_change: Callable[[User], None],
        allowed: tuple[str, ...] = ("https://*",),
    ) -> None:  # fmt: skip
        self._api = api
        self._world = world
        self._on_change = on_change
        self._allowed = allowed
        self._followers: dict[AgentIdentity, _Follower] = {}
        self._used: dict[User, AgentIdentity] = {}
        self._nursery: trio.Nursery | None = None
        self.failing = 0

    def __len__(self) -> int:
        """How many sessions there are."""
        return len(self._followers)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow changes for the length of the block; then all sessions are closed."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()

    async def identify(self, target: AgentTarget, namespace: str) -> AgentIdentity:
        """Whom a resource of that namespace asks, and as whom. Raises `SpecError`, `AgentError`."""
        if not any(fnmatchcase(target.address, pattern) for pattern in self._allowed):
            text = f"the operator may not connect to {target.address}: see agents.allowed"
            raise SpecError("AddressNotAllowed", text)
        _require_private(target.address)
        return AgentIdentity(
            target.address, await self._authorities(target, namespace), target.mount, target.role,
            target.audience, namespace, target.service_account,
        )  # fmt: skip

    async def open(
        self, user: User, identity: AgentIdentity, paths: Iterable[str] = ()
    ) -> AgentSession:
        """The session of a resource, which is told of changes of these secrets from now on.

        Raises `SpecError`.
        """
        if self._used.get(user) != identity:
            self.close(user)
        follower = self._followers.get(identity)
        if follower is None:
            follower = await self._follow(identity)
        self._used[user] = identity
        names = frozenset(paths)
        if follower.users.get(user) != names:
            follower.users[user] = names
            follower.scope.cancel()
        return follower.session

    def close(self, user: User) -> None:
        """End the use by a resource that is gone or names another agent."""
        identity = self._used.pop(user, None)
        follower = self._followers.get(identity) if identity else None
        if follower is not None:
            follower.users.pop(user, None)
            follower.scope.cancel()

    async def _authorities(self, target: AgentTarget, namespace: str) -> str:
        if target.ca is None:
            return ""
        try:
            found = await self._api.read(CONFIG_MAPS, namespace, target.ca.name)
        except MissingError:
            raise AgentError(0, "", "NoAuthority", f"no ConfigMap {target.ca.name}") from None
        text = found.get("data", {}).get(target.ca.key, "")
        if not text:
            message = f"the ConfigMap {target.ca.name} has no {target.ca.key}"
            raise AgentError(0, "", "NoAuthority", message)
        return str(text)

    async def _follow(self, identity: AgentIdentity) -> _Follower:
        if len(self._followers) >= MAX_SESSIONS:
            text = f"there are {MAX_SESSIONS} agents and accounts already"
            raise SpecError("TooManyAgents", text)
        context = await self._world.run_sync(_context, identity.ca)
        if identity in self._followers:  # another resource was first
            return self._followers[identity]
        http = httpx2.AsyncClient(
            base_url=identity.address, verify=context, trust_env=False,
            follow_redirects=False, headers={"User-Agent": USER_AGENT},
        )  # fmt: skip
        follower = _Follower(AgentSession(identity, http, self._api), {}, trio.CancelScope())
        self._followers[identity] = follower
        assert self._nursery is not None  # noqa: S101  # `running` has been entered
        self._nursery.start_soon(self._run, follower)
        return follower

    async def _run(self, follower: _Follower) -> None:
        """Follow changes while a resource wants them."""
        try:
            cursor, failures = "", 0
            while follower.users:
                follower.scope = trio.CancelScope()
                with follower.scope:
                    try:
                        # One that failed is to say at once that it does not any more.
                        cursor = await self._wait(follower, cursor, 0 if failures else WAIT)
                    except AgentError as error:
                        if error.code == _CHANGES_EXPIRED:
                            cursor = ""
                            continue
                        failures += 1
                        await self._pause(follower, error, failures)
                    else:
                        if failures:
                            self._notify(follower)
                        failures = 0
        finally:
            self._followers.pop(follower.session.identity, None)
            await follower.session.close()

    async def _wait(self, follower: _Follower, cursor: str, seconds: int) -> str:
        """Wait for a change, a minute at most; returns the cursor to go on from."""
        paths = sorted(frozenset().union(*follower.users.values()))
        if not paths:  # policies alone: nothing to follow
            await trio.sleep_forever()
        is_filtered = len(paths) <= MAX_PATHS and not any("," in path for path in paths)
        changed, after = await follower.session.wait_for_changes(
            cursor, paths if is_filtered else (), seconds
        )
        for user, wanted in list(follower.users.items()):
            if wanted and (not cursor or not wanted.isdisjoint(changed)):
                self._on_change(user)  # without a cursor nothing tells what happened before
        return after

    def _notify(self, follower: _Follower) -> None:
        for user in list(follower.users):
            self._on_change(user)

    async def _pause(self, follower: _Follower, error: AgentError, failures: int) -> None:
        if failures == 1:
            self._notify(follower)  # its conditions say so
        delay = min(FIRST_DELAY * 2.0 ** min(failures - 1, 10), LAST_DELAY)
        log.info("%s: no changes are followed: %s", follower.session.identity.address, error)
        self.failing += 1
        try:
            await self._world.sleep(delay * (1 + self._world.jitter()) / 2)
        finally:
            self.failing -= 1


def _context(ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=ca or None)
    except (ssl.SSLError, ValueError):
        raise SpecError("NoAuthority", "agent.ca is no certificate in PEM") from None


def _require_private(address: str) -> None:
    """Without TLS only on this machine: a sidecar, or a test. Raises `SpecError`."""
    parts = urlsplit(address)
    if parts.scheme == "https":
        return
    try:
        is_local = ip_address(parts.hostname or "").is_loopback
    except ValueError:
        is_local = False
    if not is_local:
        raise SpecError("AddressNotAllowed", "spec.agent.address: takes https://")


_quoted: Final = partial(quote, safe="/")


def _document(answer: bytes) -> Document:
    try:
        return msgspec.json.decode(answer, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise _unreadable() from None


def _unreadable() -> AgentError:
    return AgentError(0, "", "AgentUnreachable", "its answer is not one of a Freehold agent")


def _refusal(status: int, answer: bytes) -> AgentError:
    try:
        found = msgspec.json.decode(answer, type=_Error)
    except msgspec.MsgspecError:
        found = _Error()
    reason = "AgentSealed" if found.code == "sealed" else _REASONS.get(status, "AgentRefused")
    text = found.message or f"HTTP {status}"
    return AgentError(status, found.code, reason, f"the agent: {text}")
