"""A Kubernetes API server on this machine, as far as an operator sees one.

Objects with uid, generation and resource version, pages of lists, watches as chunked JSON with
bookmarks, optimistic concurrency, merge patches, server-side apply, status subresources that are
pruned by the CRD, finalizers, garbage collection by owner, tokens and their review. Each request of
a known caller is authorized by RBAC rules. A test can compact the history, send bookmarks, and cut
watches in the middle of a line.
"""

import base64
import copy
import json
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import h11
import trio
from jsonschema import Draft202012Validator

from tests.support.identity_source import SigningKey

Document = dict[str, Any]
Place = tuple[str, str, str, str]
"""Group, plural, namespace and name."""

OPERATOR = "operator-token"
REVIEWER = "reviewer-token"
_REASONS = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict",
    410: "Expired", 415: "UnsupportedMediaType", 422: "Invalid", 503: "ServiceUnavailable",
}  # fmt: skip


class Refused(Exception):  # noqa: N818  # an answer
    """An answer that is an error."""

    def __init__(self, status: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message,
            "reason": reason or _REASONS[status], "code": status,
        }  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A request that was made. `verb` and `resource` as RBAC calls them."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    query: Mapping[str, str]


@dataclass
class Target:
    """What a path names."""

    group: str
    version: str
    namespace: str
    plural: str
    name: str
    part: str

    @property
    def place(self) -> Place:
        """Of the object."""
        return self.group, self.plural, self.namespace, self.name

    @property
    def resource(self) -> str:
        """As RBAC calls it."""
        return f"{self.plural}/{self.part}" if self.part else self.plural


@dataclass(eq=False)
class Connection:
    """One client's, with the request in hand."""

    stream: trio.SocketStream
    wire: h11.Connection
    watches: str = ""


@dataclass
class KubernetesDouble:
    """`rules` are what the operator's token may; without any it may all."""

    address: str = ""
    rules: list[Document] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    objects: dict[Place, Document] = field(default_factory=dict)
    schemas: dict[str, Document] = field(default_factory=dict)
    failures: list[tuple[str, str, int]] = field(default_factory=list)
    """Verb and resource of the next requests that fail, and how (0: the connection breaks)."""
    page: int = 0
    """The most objects of a page, whatever is asked for."""

    def __post_init__(self) -> None:
        self._version = 100
        self._key = SigningKey("cluster")
        self._oldest = 0
        self._history: list[tuple[int, str, Place, Document]] = []
        self._applied: dict[Place, Document] = {}
        self._changed = trio.Event()
        self._tokens: dict[str, tuple[str, str, tuple[str, ...]]] = {}
        self._connections: set[Connection] = set()
        self._lists: dict[str, tuple[int, list[Document]]] = {}

    # What a test does.

    def define(self, crd: Document) -> None:
        """Take a custom resource."""
        [version] = crd["spec"]["versions"]
        self.schemas[crd["spec"]["names"]["plural"]] = version["schema"]["openAPIV3Schema"]

    def put(self, plural: str, document: Document, *, group: str | None = None) -> Document:
        """Create or change an object, as `kubectl apply` would."""
        metadata = document["metadata"]
        api_group, _, _ = document["apiVersion"].rpartition("/")
        place = (api_group if group is None else group, plural,
                 metadata.get("namespace", ""), metadata["name"])  # fmt: skip
        before = self.objects.get(place)
        if before is None:
            return self._create(place, document)
        after = copy.deepcopy(before)
        after["spec"] = document.get("spec", after.get("spec"))
        return self._store(place, before, after)

    def find(self, plural: str, namespace: str, name: str) -> Document | None:
        """An object by its place, in whatever group."""
        for (_, kind, space, title), found in self.objects.items():
            if (kind, space, title) == (plural, namespace, name):
                return found
        return None

    def change(self, plural: str, namespace: str, name: str, **fields: Any) -> None:
        """Replace parts of an object, such as its status."""
        for place, before in list(self.objects.items()):
            if place[1:] == (plural, namespace, name):
                self._store(place, before, {**copy.deepcopy(before), **fields})

    def remove(self, plural: str, namespace: str, name: str) -> None:
        """Delete an object, as `kubectl delete` would."""
        for place in list(self.objects):
            if place[1:] == (plural, namespace, name):
                self._delete(place)

    def compact(self) -> None:
        """Forget the history: older resource versions, and lists under way, have expired."""
        self._oldest = self._version
        self._history.clear()
        self._lists.clear()

    async def cut(self, plural: str, *, mid_line: bool = True) -> int:
        """Break the watches of a resource, in the middle of an event. How many there were."""
        cut = [each for each in self._connections if each.watches == plural]
        for each in cut:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                if mid_line:
                    await _send_chunk(each, b'{"type":"MODIFIED","object":{"metadata":{"na')
                each.stream.socket.shutdown(trio.socket.SHUT_RDWR)
        return len(cut)

    async def bookmark(self, plural: str) -> None:
        """Tell watches of the present resource version."""
        body = {"metadata": {"resourceVersion": str(self._version)}}
        for each in list(self._connections):
            if each.watches == plural:
                await _send_event(each, "BOOKMARK", body)

    def watching(self, plural: str) -> int:
        """How many watches of a resource are open."""
        return sum(each.watches == plural for each in self._connections)

    async def wait(self) -> None:
        """Until an object changes."""
        await self._changed.wait()

    def issue(self, namespace: str, name: str, *audiences: str) -> str:
        """A token of a service account."""
        now = int(time.time())
        text = self._key.sign({
            "sub": f"system:serviceaccount:{namespace}:{name}", "iat": now,
            "aud": list(audiences), "exp": now + 600, "jti": str(uuid.uuid4()),
        })  # fmt: skip
        self._tokens[text] = (namespace, name, audiences)
        return text

    # Objects.

    def _next(self) -> str:
        self._version += 1
        return str(self._version)

    def _publish(self, kind: str, place: Place, document: Document) -> None:
        self._history.append((self._version, kind, place, copy.deepcopy(document)))
        self._changed.set()
        self._changed = trio.Event()

    def _create(self, place: Place, document: Document) -> Document:
        if place in self.objects:
            raise Refused(409, f"{place[1]} {place[3]!r} already exists", "AlreadyExists")
        made = copy.deepcopy(document)
        self._validate(place[1], made)
        made.pop("status", None)
        made["metadata"] |= {
            "uid": str(uuid.uuid4()), "generation": 1, "resourceVersion": self._next(),
            "creationTimestamp": "2026-12-01T00:00:00Z",
        }  # fmt: skip
        self.objects[place] = made
        self._publish("ADDED", place, made)
        return made

    def _store(self, place: Place, before: Document, after: Document) -> Document:
        """Without a change there is no new version."""
        if before == after:
            return before
        if before.get("spec") != after.get("spec"):
            after["metadata"]["generation"] = before["metadata"]["generation"] + 1
        after["metadata"]["resourceVersion"] = self._next()
        metadata = after["metadata"]
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            self._drop(place, after)
            return after
        self.objects[place] = after
        self._publish("MODIFIED", place, after)
        return after

    def _delete(self, place: Place) -> None:
        found = copy.deepcopy(self.objects[place])
        if found["metadata"].get("finalizers"):
            found["metadata"]["deletionTimestamp"] = "2026-12-01T00:00:01Z"
            self._store(place, self.objects[place], found)
            return
        found["metadata"]["resourceVersion"] = self._next()
        self._drop(place, found)

    def _drop(self, place: Place, document: Document) -> None:
        del self.objects[place]
        self._applied.pop(place, None)
        self._publish("DELETED", place, document)
        uid = document["metadata"]["uid"]
        for other, each in list(self.objects.items()):  # the garbage collector
            owners = each["metadata"].get("ownerReferences") or []
            if other in self.objects and any(owner["uid"] == uid for owner in owners):
                self._delete(other)

    def _validate(self, plural: str, document: Document) -> None:
        schema = self.schemas.get(plural)
        if schema is None:
            return
        _prune(schema, document)
        faults = [error.message for error in Draft202012Validator(schema).iter_errors(document)]
        if faults:
            raise Refused(422, "; ".join(faults))

    # Requests.

    def _answer(self, method: str, target: Target, request: "Request") -> Document:
        if target.plural == "tokenreviews":
            return self._review(request)
        found = self.objects.get(target.place)
        if method == "POST":
            return self._post(target, request)
        if found is None and not request.is_apply:
            raise Refused(404, f"{target.plural} {target.name!r} not found")
        if method == "GET":
            assert found is not None
            return found
        if method == "PUT":
            assert found is not None
            return self._put(target, found, request.body)
        if method == "DELETE":
            assert found is not None
            if request.body["preconditions"]["uid"] != found["metadata"]["uid"]:
                raise Refused(409, "the uid is another one")
            self._delete(target.place)
            return {"kind": "Status", "status": "Success"}
        if method == "PATCH":
            return self._patch(target, found, request)
        raise Refused(400, f"no {method}")

    def _post(self, target: Target, request: "Request") -> Document:
        if target.part == "token":
            if target.place not in self.objects:
                raise Refused(404, f"serviceaccounts {target.name!r} not found")
            text = self.issue(target.namespace, target.name, *request.body["spec"]["audiences"])
            return {**request.body, "status": {"token": text}}
        metadata = request.body.setdefault("metadata", {})
        metadata.setdefault("namespace", target.namespace)
        place = (target.group, target.plural, target.namespace, metadata["name"])
        return self._create(place, request.body)

    def _put(self, target: Target, found: Document, body: Document) -> Document:
        """With the preconditions that the body has (`rest.DefaultUpdatedObjectInfo`)."""
        metadata = body["metadata"]
        for name in ("uid", "resourceVersion"):
            if metadata.get(name, found["metadata"][name]) != found["metadata"][name]:
                raise Refused(409, f"the {name} of {target.name} is another one")
        if target.plural == "secrets" and body.get("type") != found.get("type"):
            raise Refused(422, "type: Invalid value: field is immutable")
        kept = ("uid", "generation", "resourceVersion", "creationTimestamp")
        after = copy.deepcopy(body)
        after["metadata"] |= {name: found["metadata"][name] for name in kept}
        return self._store(target.place, found, after)

    def _patch(self, target: Target, found: Document | None, request: "Request") -> Document:
        if request.is_apply:
            return self._apply(target, found, request.body)
        assert found is not None
        if request.media_type != "application/merge-patch+json":
            raise Refused(415, request.media_type)
        patch = request.body
        if target.part == "status":
            patch = {"status": patch["status"]}
        elif target.plural in self.schemas:
            patch = {name: value for name, value in patch.items() if name != "status"}
        wanted = patch.get("metadata", {}).get("resourceVersion")
        if wanted not in {None, found["metadata"]["resourceVersion"]}:
            raise Refused(409, "the object has been modified")
        after = _merge(found, patch)
        self._validate(target.plural, after)
        return self._store(target.place, found, after)

    def _apply(self, target: Target, found: Document | None, body: Document) -> Document:
        """Server-side apply of one manager: what it applied before and has not now is removed."""
        if found is None:
            made = self._create(target.place, body)
            self._applied[target.place] = copy.deepcopy(body)
            return made
        if target.plural == "statefulsets":
            claims = "volumeClaimTemplates"
            if body["spec"][claims] != found["spec"][claims]:
                raise Refused(422, "Forbidden: updates to statefulset spec for other fields")
        before = self._applied.get(target.place, {})
        after = _merge(_without(found, before, body), body)
        self._applied[target.place] = copy.deepcopy(body)
        return self._store(target.place, found, after)

    def _review(self, request: "Request") -> Document:
        if request.token != REVIEWER:
            raise Refused(401, "who are you?")
        asked = request.body["spec"]
        namespace, name, audiences = self._tokens.get(asked["token"], ("", "", ()))
        meant = [each for each in asked.get("audiences", audiences) if each in audiences]
        if not meant:
            return {"kind": "TokenReview", "status": {"authenticated": False}}
        account = self.find("serviceaccounts", namespace, name)
        assert account is not None
        user = {
            "username": f"system:serviceaccount:{namespace}:{name}",
            "uid": account["metadata"]["uid"],
        }
        status = {"authenticated": True, "user": user, "audiences": meant}
        return {"kind": "TokenReview", "status": status}

    def _list(self, target: Target, query: Mapping[str, str]) -> Document:
        if token := query.get("continue"):
            if token not in self._lists:
                raise Refused(410, "The provided continue parameter is too old")
            version, rest = self._lists.pop(token)
        else:
            version, rest = self._version, list(self._matching(target))
        limit = min(int(query.get("limit", "500")), self.page or 500)
        items, rest = rest[:limit], rest[limit:]
        metadata = {"resourceVersion": str(version)}
        if rest:
            metadata["continue"] = base64.b64encode(uuid.uuid4().bytes).decode()
            self._lists[metadata["continue"]] = (version, rest)
        shown = [
            {k: v for k, v in each.items() if k not in {"kind", "apiVersion"}} for each in items
        ]
        return {"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": shown}

    def _matching(self, target: Target) -> Iterator[Document]:
        for place, document in sorted(self.objects.items(), key=lambda item: item[0]):
            if _is_of(target, place):
                yield copy.deepcopy(document)

    # Authorization.

    def allows(self, asked: Asked) -> bool:
        """By the rules (RBAC)."""
        return not self.rules or any(
            asked.group in rule["apiGroups"]
            and asked.resource in rule["resources"]
            and asked.verb in rule["verbs"]
            and asked.name in rule.get("resourceNames", [asked.name])
            for rule in self.rules
        )

    def authorize(self, verb: str, target: Target, query: Mapping[str, str]) -> None:
        """Raises `Refused`."""
        asked = Asked(verb, target.group, target.resource, target.namespace, target.name, query)
        self.asked.append(asked)
        if not self.allows(asked):
            raise Refused(403, f"{asked.resource} is forbidden: cannot {verb}")

    # Connections.

    async def serve(self, stream: trio.SocketStream) -> None:
        """One client, request after request."""
        connection = Connection(stream, h11.Connection(h11.SERVER))
        self._connections.add(connection)
        try:
            async with stream:
                while await self._serve_one(connection):
                    pass
        except (
            trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError, OSError
        ):  # fmt: skip
            pass
        finally:
            self._connections.discard(connection)

    async def _serve_one(self, connection: Connection) -> bool:
        request = await Request.read(connection)
        if request is None:
            return False
        try:
            status = 201 if request.method == "POST" else 200
            body = await self._respond(connection, request)
        except Refused as refused:
            status, body = refused.status, refused.body
        if body is None:
            return False
        data = json.dumps(body).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(data)))]
        await _send(connection, h11.Response(status_code=status, headers=headers))
        await _send(connection, h11.Data(data=data))
        await _send(connection, h11.EndOfMessage())
        if connection.wire.our_state is not h11.DONE:
            return False
        connection.wire.start_next_cycle()
        return True

    async def _respond(self, connection: Connection, request: "Request") -> Document | None:
        """None: the connection is over."""
        target = _target(request.path)
        if request.token == OPERATOR:
            self.authorize(request.verb(target), target, request.query)
            for number, (verb, resource, status) in enumerate(self.failures):
                if (verb, resource) == (request.verb(target), target.resource):
                    del self.failures[number]
                    if not status:
                        return None
                    raise Refused(status, "a test has it fail")
            if request.is_apply and target.place not in self.objects:
                self.authorize("create", target, request.query)
        elif target.plural != "tokenreviews":
            raise Refused(401, "who are you?")
        if not target.name and request.method == "GET":
            if request.query.get("watch") == "true":
                await self._watch(connection, target, request.query)
                return None
            return self._list(target, request.query)
        return copy.deepcopy(self._answer(request.method, target, request))

    async def _watch(
        self, connection: Connection, target: Target, query: Mapping[str, str]
    ) -> None:
        since = int(query["resourceVersion"])
        headers = [("content-type", "application/json"), ("transfer-encoding", "chunked")]
        await _send(connection, h11.Response(status_code=200, headers=headers))
        if since < self._oldest:  # as it comes from etcd: in the stream
            await _send_event(connection, "ERROR", Refused(410, "too old").body)
            return
        connection.watches = target.plural
        with trio.move_on_after(int(query["timeoutSeconds"])):
            while True:
                changed = self._changed
                for version, kind, place, document in list(self._history):
                    if version > since and _is_of(target, place):
                        await _send_event(connection, kind, document)
                    since = max(since, version)
                await changed.wait()


@dataclass
class Request:
    """One request, whole."""

    method: str
    path: str
    query: dict[str, str]
    token: str
    media_type: str
    body: Document

    @property
    def is_apply(self) -> bool:
        """Whether it is a server-side apply."""
        return self.media_type == "application/apply-patch+yaml"

    def verb(self, target: Target) -> str:
        """As RBAC calls it."""
        if self.method != "GET":
            return {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[
                self.method
            ]
        if target.name:
            return "get"
        return "watch" if self.query.get("watch") == "true" else "list"

    @classmethod
    async def read(cls, connection: Connection) -> "Request | None":
        """None: the client has gone."""
        head: h11.Request | None = None
        body = b""
        while True:
            event = connection.wire.next_event()
            if event is h11.NEED_DATA:
                connection.wire.receive_data(await connection.stream.receive_some(65536))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return None
        assert head is not None
        fields = {name.decode(): value.decode() for name, value in head.headers}
        parts = urlsplit(head.target.decode())
        return cls(
            head.method.decode(), parts.path, dict(parse_qsl(parts.query)),
            fields.get("authorization", "").removeprefix("Bearer "),
            fields.get("content-type", ""), json.loads(body) if body else {},
        )  # fmt: skip


@asynccontextmanager
async def kubernetes_double(
    rules: list[Document] | None = None,
) -> AsyncIterator[KubernetesDouble]:
    """Running for the length of the block."""
    double = KubernetesDouble(rules=rules or [])
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    double.address = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, double.serve, [listener])
        yield double
        nursery.cancel_scope.cancel()


async def _send(connection: Connection, event: Any) -> None:
    data = connection.wire.send(event)
    if data:
        await connection.stream.send_all(data)


async def _send_chunk(connection: Connection, data: bytes) -> None:
    await _send(connection, h11.Data(data=data))


async def _send_event(connection: Connection, kind: str, document: Document) -> None:
    await _send_chunk(connection, json.dumps({"type": kind, "object": document}).encode() + b"\n")


def _target(path: str) -> Target:
    parts = [unquote(part) for part in path.strip("/").split("/")]
    group, rest = ("", parts[1:]) if parts[0] == "api" else (parts[1], parts[2:])
    version, rest = rest[0], rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    plural, name, part, *_ = [*rest, "", "", ""]
    return Target(group, version, namespace, plural, name, part)


def _is_of(target: Target, place: Place) -> bool:
    group, plural, namespace, _ = place
    return (group, plural) == (target.group, target.plural) and target.namespace in {"", namespace}


def _merge(below: Any, over: Any) -> Any:
    """A merge patch (RFC 7396)."""
    if not isinstance(over, dict):
        return copy.deepcopy(over)
    found = copy.deepcopy(below) if isinstance(below, dict) else {}
    for name, value in over.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = _merge(found.get(name), value)
    return found


def _without(found: Document, before: Document, now: Document) -> Document:
    """The object without the fields that were applied before, and are not any more."""
    kept = {}
    for name, value in found.items():
        was, wanted = before.get(name), now.get(name)
        if isinstance(value, dict) and isinstance(was, dict) and isinstance(wanted, dict):
            kept[name] = _without(value, was, wanted)
        elif name not in before or name in now:
            kept[name] = copy.deepcopy(value)
    return kept


def _prune(schema: Document, value: Any) -> None:
    """Drop fields that a structural schema does not have."""
    if isinstance(value, list):
        for each in value:
            _prune(schema.get("items", {}), each)
        return
    if not isinstance(value, dict) or schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if "additionalProperties" in schema or not schema.get("properties"):
        return
    for name in list(value):
        if name not in schema["properties"]:
            del value[name]
        else:
            _prune(schema["properties"][name], value[name])


def used_rights(asked: list[Asked]) -> dict[tuple[str, str], set[str]]:
    """The verbs that were used, by group and resource."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for each in asked:
        found[each.group, each.resource].add(each.verb)
    return found
