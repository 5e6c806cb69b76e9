"""Every route of every dialect answers alike with one worker and with several.

The routes are those of the routers themselves, so none is forgotten. Each call has its own things
(a secret, a token, a mount …), so that no call depends on the one before.
"""

import itertools
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.acceptance.agent import Agent, Answer, Client, running, served_agent
from tests.acceptance.link.estate import until
from tests.acceptance.workers.fleet import pinned
from vault.edge.compat.dialect import ENGINES, CompatDialect
from vault.edge.native.dialect import NativeDialect
from vault.edge.ops import OpsDialect
from vault.edge.router import Router

MOST: Final = 1_000  # things of a round
RULE: Final = {"effect": "allow", "paths": ["two/*"], "capabilities": ["read", "list"]}
JSON_TYPE: Final = {"Content-Type": "application/json"}
MERGE: Final = {"Content-Type": "application/merge-patch+json"}


CANARY: Final = "canary-8d1f0c"
"""In each value: whoever may not read it is told nothing of it."""
HCL: Final = 'path "two/data/*" { capabilities = ["read"] }'


class Route(NamedTuple):
    """`below` is the prefix of its dialect, or its mount."""

    method: str
    below: str
    template: str
    public: bool

    @property
    def key(self) -> str:
        """What `BODIES`, `QUERIES` and `REFUSED` know it by."""
        return f"{self.method} {self.below}{self.template}"


NOWHERE: Final = {
    "plugin_name": "postgresql-database-plugin",
    "connection_url": "postgresql://{{username}}:{{password}}@127.0.0.1:1/x",
    "username": "u",
    "password": "p",
    "allowed_roles": "*",
    "verify_connection": False,
}
"""A connection to a server that does not run."""

BODIES: Final[dict[str, Any]] = {
    "POST /api/v1/system/seal-migration": {"key": "00" * 33},
    "POST /v1/sys/mounts/{path}": {"type": "kv", "options": {"version": "2"}},
    "POST /v1/sys/policy/{name}": {"policy": HCL},
    "POST /v1/sys/policies/acl/{name}": {"policy": HCL},
    "POST /v1/sys/capabilities": {"token": "{token}", "paths": ["two/data/x"]},
    "POST /v1/sys/capabilities-self": {"paths": ["two/data/x"]},
    "POST /v1/sys/capabilities-accessor": {"accessor": "{accessor}", "path": "two/data/x"},
    "POST /v1/auth/token/create": {"policies": ["default"], "ttl": "1h"},
    "POST /v1/auth/token/create-orphan": {"policies": ["default"], "ttl": "1h"},
    "POST /v1/auth/token/lookup": {"token": "{token}"},
    "POST /v1/auth/token/lookup-accessor": {"accessor": "{accessor}"},
    "POST /v1/auth/token/renew": {"token": "{token}"},
    "POST /v1/auth/token/renew-accessor": {"accessor": "{accessor}"},
    "POST /v1/auth/token/revoke": {"token": "{token}"},
    "POST /v1/auth/token/revoke-accessor": {"accessor": "{accessor}"},
    "POST /v1/auth/token/revoke-orphan": {"token": "{token}"},
    "POST /v1/sys/auth/{path}": {"type": "approle"},
    "POST /v1/sys/remount": {"from": "auth/{name}", "to": "auth/{name}-moved"},
    "POST /v1/one/{path}": {"a": "b"},
    "POST /v1/db/config/{name}": NOWHERE,
    "POST /v1/db/roles/{name}": {"db_name": "{name}", "creation_statements": "A"},
    "POST /v1/sys/leases/tidy": {},
    "POST /v1/two/config": {"max_versions": 5},
    "POST /v1/two/data/{path}": {"data": {"a": 2}, "options": {"cas": 2}},
    "PATCH /v1/two/data/{path}": {"data": {"more": "x"}},
    "POST /v1/two/delete/{path}": {"versions": [1]},
    "POST /v1/two/undelete/{path}": {"versions": [1]},
    "POST /v1/two/destroy/{path}": {"versions": [1]},
    "POST /v1/two/metadata/{path}": {"max_versions": 4, "custom_metadata": {"team": "blue"}},
    "PATCH /v1/two/metadata/{path}": {"custom_metadata": {"team": "red"}},
    "POST /api/v1/secrets": {"name": "two/new-{number}", "value": {"a": 1}, "tags": ["x"]},
    "PUT /api/v1/secrets/{path}": {"value": {"a": 2}, "cas": 2},
    "PATCH /api/v1/secrets/{path}": {"more": 1},
    "POST /api/v1/delete/{path}": {"versions": [1]},
    "POST /api/v1/undelete/{path}": {"versions": [1]},
    "POST /api/v1/destroy/{path}": {"versions": [1]},
    "POST /api/v1/rollback/{path}": {"version": 1},
    "PATCH /api/v1/metadata/{path}": {"tags": ["y"], "metadata": {"team": "blue"}},
    "POST /api/v1/batch/read": {"names": ["two/{secret}", "two/none"]},
    "POST /api/v1/batch/write": {"secrets": [{"name": "two/{secret}", "value": 1}]},
    "POST /api/v1/changes/ack": {"path": "two/{secret}", "version": 1},
    "POST /api/v1/policies-explain": {"ticket": "fdt_none"},
    "POST /api/v1/policies-grants": {"ticket": "fdt_none"},
    "POST /api/v1/policies-convert": {"rules": [RULE]},
    "POST /api/v1/wrapping/unwrap": {"token": "s.none"},
    "POST /api/v1/wrapping/rewrap": {"token": "s.none"},
    "POST /api/v1/wrapping/lookup": {"token": "s.none"},
    "POST /api/v1/system/mount-moves": {"source": "mount-{number}", "target": "mount-{number}-m"},
    "POST /api/v1/policies-dry-run": {"capability": "read", "path": "two/{secret}"},
    "POST /api/v1/policies-replay": {"hours": 1, "write": [{"name": "new", "rules": [RULE]}]},
    "PUT /api/v1/policies/{name}": {"rules": [RULE]},
    "POST /api/v1/policies/{name}/validate": {"rules": [RULE]},
    "POST /api/v1/users": {"username": "new-{number}", "policies": ["default"]},
    "PATCH /api/v1/users/{id}": {"policies": []},
    "POST /api/v1/jwt/revocations": {"issuer": "ci", "token_id": "job-1"},
    "POST /api/v1/entities": {"name": "new-{number}", "policies": ["default"]},
    "PATCH /api/v1/entities/{id}": {"metadata": {"k": "v"}},
    "POST /api/v1/entities-merge": {"id": "{id}", "merge": ["{other_id}"]},
    "POST /api/v1/aliases": {"name": "new-{number}", "mount_accessor": "auth_token"},
    "POST /api/v1/groups": {"name": "new-{number}", "policies": ["default"]},
    "PATCH /api/v1/groups/{id}": {"metadata": {"k": "v"}},
    "POST /api/v1/groups/{id}/members": {},
    "POST /api/v1/group-aliases": {
        "name": "new-{number}",
        "mount_accessor": "auth_token",
        "group_id": "{group_id}",
    },
    "POST /v1/identity/entity/batch-delete": {"entity_ids": ["{id}"]},
    "POST /v1/identity/entity/merge": {
        "from_entity_ids": ["{other_id}"],
        "to_entity_id": "{id}",
    },
    "POST /v1/identity/lookup/entity": {"id": "{id}"},
    "POST /v1/identity/lookup/group": {"id": "{group_id}"},
    "POST /v1/identity/entity-alias": {"name": "new-{number}", "mount_accessor": "auth_token"},
    "POST /v1/identity/alias": {"name": "new-{number}", "mount_accessor": "auth_token"},
    "POST /v1/identity/group-alias": {"name": "new-{number}", "mount_accessor": "auth_token"},
    "PUT /api/v1/roles/{name}": {"policies": ["default"]},
    "POST /api/v1/keys": {"user": "{username}", "name": "new"},
    "POST /api/v1/tokens": {"policies": ["default"], "ttl": "1h"},
    "POST /api/v1/tokens/lookup": {"token": "{token}"},
    "POST /api/v1/tokens/revoke": {"token": "{token}"},
    "POST /api/v1/auth/mounts/{path}": {"type": "approle"},
    "PATCH /api/v1/auth/mounts/{path}": {"description": "new"},
    "POST /api/v1/auth/moves": {"source": "{name}", "target": "{name}-moved"},
    "PATCH /api/v1/auth/entries/{path}": {"token_policies": ["default"]},
    "POST /api/v1/auth/actions": {"mount": "{name}", "action": "role-id", "name": "held"},
    "POST /api/v1/auth/login/{path}": {"role_id": "{name}"},
    "POST /api/v1/mfa/login": {"mfa_request_id": "none"},
    "POST /api/v1/mfa/login/passkey": {"mfa_request_id": "none"},
    "POST /api/v1/mfa/verify": {"passcode": "123456"},
    "POST /api/v1/mfa/totp": {"name": "phone"},
    "POST /api/v1/mfa/totp/confirm": {"passcode": "123456"},
    "POST /api/v1/mfa/passkeys": {"credential": {}},
    "POST /api/v1/mfa/factors/remove": {"factor": "totp", "passcode": "123456"},
    "POST /api/v1/mfa/recovery-codes": {"passcode": "123456"},
    "POST /api/v1/mfa/entities/{id}/totp": {},
    "PUT /api/v1/mfa/enforcements/{name}": {"entities": ["{entity_id}"]},
    "POST /v1/identity/mfa/method/totp": {"issuer": "x"},
    "POST /v1/identity/mfa/method/totp/{id}": {"issuer": "y"},
    "POST /v1/identity/mfa/method/totp/generate": {"method_id": "totp"},
    "POST /v1/identity/mfa/method/totp/admin-generate": {
        "method_id": "totp",
        "entity_id": "{entity_id}",
    },
    "POST /v1/identity/mfa/method/totp/admin-destroy": {
        "method_id": "totp",
        "entity_id": "{entity_id}",
    },
    "POST /v1/identity/mfa/login-enforcement/{name}": {
        "mfa_method_ids": ["totp"],
        "identity_entity_ids": ["{entity_id}"],
    },
    "POST /v1/sys/mfa/validate": {"mfa_request_id": "none"},
    "POST /api/v1/backups": {"full": True},
    "PUT /api/v1/rotation/{path}": {"rotator": "generated"},
    "PUT /api/v1/rotations/paused": {"paused": False},
    "PUT /api/v1/database-connections/{path}": {"kind": "redis", "secret": "two/{secret}"},
    "PUT /api/v1/database-roles/{path}": {"connection": "main", "config": {}},
    "POST /api/v1/leases-revoke": {"prefix": "database/creds/"},
    "POST /api/v1/rotations/run": {"tags": ["x"]},
    "POST /api/v1/backups/{id}/restore": {"names": ["two/{secret}"]},
    "POST /api/v1/audit/hash": {"value": "x"},
    "POST /api/v1/system/break-glass": {"shares": 3, "threshold": 2, "replace": True},
    "POST /api/v1/system/break-glass/open": {"share": "fhbg-", "code": "x"},
    "POST /api/v1/system/mounts/{path}": {"version": 2},
    "PATCH /api/v1/system/mounts/{path}": {"description": "new"},
}
"""A body with which the route does what it is for."""

QUERIES: Final[dict[str, str]] = {
    "GET /api/v1/jwt/revocations": "issuer=ci",
    "GET /api/v1/keys": "user={username}",
    "GET /api/v1/auth/entries": "mount={name}&kind=role",
    "GET /api/v1/diff/{path}": "from=1",
    "GET /api/v1/database-connections": "mount=two",
    "GET /api/v1/database-roles": "mount=two",
    "GET /api/v1/rotations/plan": "before=2030-01-01T00:00:00Z",
    "GET /v1/auth/token/lookup": "token={token}",
    "GET /v1/sys/leases": "type=irrevocable",
    "GET /v1/sys/leases/count": "type=irrevocable",
}

REFUSED: Final[dict[str, int]] = {
    "POST /api/v1/policies-explain": 400,  # a ticket is of a refusal
    "POST /api/v1/policies-grants": 400,
    "DELETE /api/v1/policies-grants/{id}": 404,
    **{f"POST /api/v1/wrapping/{what}": 400 for what in ("unwrap", "rewrap", "lookup")},
    **{f"LIST /v1/cubbyhole{more}": 404 for more in ("", "/", "/{path}")},
    "GET /v1/cubbyhole/{path}": 404,
    "POST /v1/sys/wrapping/wrap": 400,  # it asks for no wrapping
    "POST /v1/sys/wrapping/unwrap": 400,
    "POST /v1/sys/wrapping/rewrap": 400,
    "GET /v1/sys/wrapping/lookup": 400,
    "POST /v1/sys/wrapping/lookup": 400,
    "POST /v1/sys/audit/{path}": 400,
    "POST /api/v1/jwt/revocations": 404,  # no issuer is trusted
    **{f"POST /api/v1/mfa/login{more}": 401 for more in ("", "/passkey")},  # no login waits
    **{  # who asks is no entity
        f"POST /api/v1/mfa/{own}": 400
        for own in (
            "verify",
            "totp",
            "totp/confirm",
            "passkeys",
            "factors/remove",
            "recovery-codes",
        )
    },
    "POST /v1/identity/mfa/method/totp/generate": 400,
    "POST /v1/sys/mfa/validate": 400,
    "POST /v1/sys/init": 400,
    "POST /v1/sys/unseal": 400,
    "POST /api/v1/system/rotate-root": 400,  # no key provider wraps its root key
    "POST /api/v1/system/seal-migration": 400,  # there is no other seal
    "POST /v1/auth/token/create/{role}": 400,
    "GET /v1/sys/remount/status/{id}": 404,
    "POST /api/v1/auth/login/{path}": 401,
    "POST /v1/one/": 400,
    "LIST /v1/sys/leases/lookup/{path}": 404,
    "GET /v1/db/creds/{name}": 503,  # its server does not run
    "GET /v1/db/static-creds/{name}": 400,
    "GET /v1/db/static-roles/{name}": 404,
    **{f"LIST /v1/db/static-roles{more}": 404 for more in ("", "/")},
    "LIST /v1/two/data": 405,
    "LIST /v1/two/data/{path}": 405,
    **{f"{method} /v1/two/data": 404 for method in ("GET", "POST", "DELETE")},
    **{f"{method} /v1/two/metadata": 404 for method in ("GET", "POST", "DELETE")},
    **{f"{method} /v1/two/{{path}}": 404 for method in ("GET", "LIST", "POST", "DELETE")},
    "GET /api/v1/system/usage/{opaque}": 404,
    "DELETE /api/v1/system/nodes/{id}": 400,
    "POST /api/v1/backups": 404,  # the agent has no destinations
    **{f"{method} /api/v1/backups/{{id}}": 400 for method in ("GET", "DELETE")},
    "POST /api/v1/backups/{id}/restore": 400,
    "GET /api/v1/backups/runs/{id}/secrets": 404,
    **{f"{method} /api/v1/backups/runs/{{id}}": 404 for method in ("GET", "DELETE")},
    **{f"POST /api/v1/rotation-{what}/{{path}}": 404 for what in ("abandon", "resume", "undo")},
    "POST /api/v1/rotate/{path}": 404,  # it has no policy
    "GET /api/v1/leases/{path}": 404,
    **{f"GET /api/v1/database-{what}": 404 for what in ("connections", "roles")},  # not its type
    **{
        f"{method} /api/v1/database-{what}/{{path}}": 404
        for what in ("connections", "roles")
        for method in ("GET", "PUT", "DELETE")
    },
    **{f"{method} /api/v1/database-orphans/{{path}}": 404 for method in ("GET", "DELETE")},
    "POST /api/v1/sessions": 404,
    "GET /api/v1/sessions/current": 404,
    "DELETE /api/v1/sessions/current": 404,
    "POST /api/v1/sessions/current/renew": 404,
    "DELETE /api/v1/sessions/{accessor}": 404,  # a token of root's is no session
    "DELETE /api/v1/users/{id}/sessions/{accessor}": 404,
    **{  # no new shares wait for their proof, and none are kept
        f"{method} /v1/sys/{root_key}/{what}": 400
        for root_key in ("rekey", "rotate/root", "rekey-recovery-key", "rotate/recovery")
        for method, what in (("GET", "verify"), ("DELETE", "verify"), ("GET", "backup"))
    },
}
"""Routes that refuse whatever one may send to this agent, which has no web interface."""

OWN: Final = re.compile(r"/(lookup-self|renew-self|revoke-self|tokens/self|tokens/self/renew)$")
"""Routes that are about the token that they are asked with."""

SEALS: Final = ("v1/sys/seal", "api/v1/system/seal")
"""Routes that end a round: one each."""


def _is_of_auth_mounts(key: str) -> bool:
    return ("auth/" in key and "/auth/token/" not in key) or key.endswith("sys/remount")


def routes() -> list[Route]:
    """Those of all dialects; reads first and deletions last."""
    tables: list[tuple[str, Router]] = [
        (OpsDialect.prefix, OpsDialect.router),
        (NativeDialect.prefix, NativeDialect.router),
        (CompatDialect.prefix, CompatDialect.router),
        ("/v1/one/", ENGINES[1]),
        ("/v1/two/", ENGINES[2]),
        ("/v1/db/", ENGINES["database"]),
    ]
    found = [
        Route(route.method, below, route.template, route.public)
        for below, router in tables
        for route in router.routes()
        if not f"{below}{route.template}".endswith(SEALS)
    ]
    return sorted(found, key=lambda route: (route.method == "DELETE", route.method != "GET"))


class Prepared(NamedTuple):
    """A request, and the token that was made for it if any."""

    route: Route
    path: str
    body: bytes | None
    token: str | None


class Sweep:
    """One agent, asked for everything, over each of its connections in turn."""

    def __init__(self, clients: list[Client], first: int) -> None:
        """`first` numbers the things that it makes."""
        self._clients = itertools.cycle(clients)
        self._numbers = itertools.count(first)

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """One request; the connections of all workers have their turns."""
        kind = MERGE if method == "PATCH" else JSON_TYPE
        return next(self._clients).call(method, path, body, headers=kind, **more)

    def made(self, method: str, path: str, body: Any = None) -> Any:
        """What a request has made, which has to succeed."""
        answer = self.ask(method, path, body)
        assert answer.status < 300, (method, path, answer.status, answer.body)
        return answer.json

    def things(self, key: str) -> dict[str, str]:
        """New things for the placeholders of one route."""
        number = next(self._numbers)
        name = f"thing-{number}"
        things = {"number": str(number), "name": name, "role": name, "seq": "1", "opaque": "0" * 32}
        if _is_of_auth_mounts(key):
            return things | self._auth_things(key, name)
        if re.search(r"/(one|two)/.*\{path\}|secret\}|/api/v1/(?!system/).*\{path\}", key):
            secret = f"folder-{number}/{name}"
            self.made("POST", f"/v1/one/{secret}", {"a": CANARY})
            for value in (1, 2):
                self.made("POST", f"/v1/two/data/{secret}", {"data": {"a": value, "b": CANARY}})
            things["secret"] = secret
            things["path"] = f"two/{secret}" if "/api/v1/" in key else secret
            if key.startswith("LIST"):
                things["path"] = f"folder-{number}"
        elif "{path}" in key:
            things["path"] = f"mount-{number}"
            if not key.startswith("POST"):
                self.made("POST", f"/v1/sys/mounts/mount-{number}", {"type": "kv"})
        if "/db/" in key:
            self._make_connection(name, with_role="/roles" in key or "/creds" in key)
        things |= self._make_identities(key, name)
        if "/mfa/" in key:
            things |= self._make_factors(key, name)
        self._make_named(key, name)
        if re.search(r"users/\{id\}|username|keys/\{id\}|\{identity\}", key):
            user = self.made("POST", "/api/v1/users", {"username": name})
            things |= {"username": name, "identity": name, "id": user["id"]}
        if "keys/{id}" in key:
            things["id"] = self.made("POST", "/api/v1/keys", {"user": name, "name": "k"})["id"]
        if "accessor" in key or "token" in key:
            body = {"policies": ["root"], "ttl": "2h"}
            token = self.made("POST", "/v1/auth/token/create", body)["auth"]
            things |= {"token": token["client_token"], "accessor": token["accessor"]}
        return things

    def _make_identities(self, key: str, name: str) -> dict[str, str]:
        """Entities, groups and aliases, where the route is about one."""
        if not re.search(r"/entities|/entity|alias|/group", key):
            return {}
        one, other = (
            self.made("POST", "/api/v1/entities", {"name": text})["id"]
            for text in (name, f"{name}-2")
        )
        outer = {"name": f"{name}-3", "type": "external"}
        group = self.made("POST", "/api/v1/groups", outer)["id"]
        inner = self.made("POST", "/api/v1/groups", {"name": name})["id"]
        at = {"name": name, "mount_accessor": "auth_token"}
        alias = self.made("POST", "/api/v1/aliases", {**at, "entity_id": other})["id"]
        group_alias = self.made("POST", "/api/v1/group-aliases", {**at, "group_id": group})["id"]
        things = {"id": one, "other_id": other, "group_id": group}
        if "group-alias" in key:
            return things | {"id": group_alias}
        if "alias" in key:
            return things | {"id": alias}
        return things | ({"id": inner} if "group" in key else {})

    def _make_factors(self, key: str, name: str) -> dict[str, str]:
        """An entity, an enforcement that is about it, and a method."""
        entity = self.made("POST", "/api/v1/entities", {"name": f"{name}-4"})["id"]
        if "enforcement" in key:
            self.made("PUT", f"/api/v1/mfa/enforcements/{name}", {"entities": [entity]})
        if "/identity/mfa/method" not in key:
            return {"entity_id": entity}
        body = {"issuer": "x", "method_name": name}
        method = self.made("POST", "/v1/identity/mfa/method/totp", body)["data"]["method_id"]
        return {"entity_id": entity, "id": method}

    def _auth_things(self, key: str, name: str) -> dict[str, str]:
        """An auth mount with a role `held`, unless the route makes one, and what lies in it."""
        enables = re.match(r"POST \S*/auth/(mounts/)?\{path\}", key)
        if not enables:
            self.made("POST", f"/api/v1/auth/mounts/{name}", {"type": "approle"})
            self.made("PATCH", f"/api/v1/auth/entries/{name}/role/held", {})
        if "entries/" in key:
            return {"path": f"{name}/role/held"}
        return {"path": f"{name}/login" if "login" in key else name, "id": "0"}

    def _make_named(self, key: str, name: str) -> None:
        if "mount-moves" in key:
            mount = name.replace("thing-", "mount-")
            self.made("POST", f"/v1/sys/mounts/{mount}", {"type": "kv"})
        if "policies/{name}" in key or "/v1/sys/polic" in key:
            self.made("PUT", f"/api/v1/policies/{name}", {"rules": []})
        if "roles/{name}" in key:
            self.made("PUT", f"/api/v1/roles/{name}", {"policies": []})

    def _make_connection(self, name: str, *, with_role: bool) -> None:
        self.made("POST", f"/v1/db/config/{name}", NOWHERE)
        if with_role:
            role = {"db_name": name, "creation_statements": "A"}
            self.made("POST", f"/v1/db/roles/{name}", role)

    def request(self, route: Route) -> "Prepared":
        """A request that the route can serve; what it is about is made."""
        given = json.dumps(BODIES.get(route.key, {}))
        query = QUERIES.get(route.key, "")
        things = self.things(route.key + given + query)

        def filled(text: str) -> str:
            for name, value in things.items():
                text = text.replace(f"{{{name}}}", value)
            return text

        path = filled(f"{route.below}{route.template}{'?' if query else ''}{query}")
        body = None if route.method in {"GET", "LIST", "DELETE"} else filled(given).encode()
        return Prepared(route, path, body, things.get("token"))

    def status(self, route: Route) -> int:
        """Call the route once with a request that it can serve."""
        _, path, body, token = self.request(route)
        own = token if OWN.search(path) else None
        return self.ask(route.method, path, body, token=own).status


@contextmanager
def sweep(
    folder: Path, workers: int, config: Mapping[str, Any] | None = None
) -> Iterator[tuple[Agent, str]]:
    """An open agent with a mount of each kind, and its share; `config`: more sections."""
    server = {"listen": "127.0.0.1:0", "workers": workers, "tls": {"enabled": False}}
    with running(served_agent(folder, {"server": server, **(config or {})})) as agent:
        made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}).json
        assert agent.call("PUT", "/v1/sys/unseal", {"key": made["keys"][0]}).json["sealed"] is False
        agent.token = made["root_token"]
        for name, version in (("one", 1), ("two", 2)):
            body = {"type": "kv", "options": {"version": str(version)}}
            assert agent.call("POST", f"/v1/sys/mounts/{name}", body).status == 204
        assert agent.call("POST", "/v1/sys/mounts/db", {"type": "database"}).status == 204
        yield agent, made["keys"][0]


@contextmanager
def connections(agent: Agent, workers: int) -> Iterator[list[Client]]:
    """One to each worker."""
    with ExitStack() as stack:
        if workers == 1:
            yield [stack.enter_context(agent.client())]
        else:
            yield stack.enter_context(pinned(agent))


def statuses(folder: Path, workers: int, rounds: int) -> list[dict[str, list[int]]]:
    """What each route answers in each round: while the vault is open, and while it is sealed."""
    found = []
    folder.mkdir()
    with sweep(folder, workers) as (agent, share), connections(agent, workers) as clients:
        for turn in range(rounds):
            asked = Sweep(clients[turn:] + clients[:turn], turn * MOST)
            asked.made("POST", f"/v1/two/data/round-{turn}", {"data": {"a": 1}})
            answers = {route.key: [asked.status(route)] for route in routes()}
            assert asked.ask("POST", f"/{SEALS[turn]}").status == 204
            for route in routes():
                path = f"{route.below}{route.template}".replace("{path}", "x")
                answers[route.key].append(asked.ask(route.method, path, b"{}").status)
            found.append(answers)
            assert agent.call("PUT", "/v1/sys/unseal", {"key": share}).json["sealed"] is False
            for client in clients:
                read = client.call("GET", f"/v1/two/data/round-{turn}")
                assert read.json["data"]["data"] == {"a": 1}
        output = agent.output()
    for fault in ("Traceback", "failed with", "crashed", " ERROR "):
        assert fault not in output, output
    assert agent.verify().returncode == 0
    return found


def test_every_route_answers_alike_with_one_worker_and_with_several(tmp_path: Path) -> None:
    """Each does what it is for, none has a fault, and a sealed agent says so."""
    [one] = statuses(tmp_path / "one", workers=1, rounds=1)
    for several in statuses(tmp_path / "several", workers=2, rounds=2):  # either is asked for all
        assert several == one
    assert not {key for key, found in one.items() if 500 in found}
    given = {key: found for key, (found, _) in one.items() if key in BODIES or is_read(key)}
    refused = {key: status for key, status in given.items() if status >= 300}
    assert refused == {key: status for key, status in REFUSED.items() if key in given}, (
        "tell in BODIES or QUERIES what the route needs, or in REFUSED that it always refuses"
    )


def is_read(key: str) -> bool:
    """Whether a route needs no body."""
    return key.partition(" ")[0] in {"GET", "LIST", "DELETE"}


@pytest.mark.parametrize("table", [BODIES, QUERIES, REFUSED])
def test_what_is_told_of_routes_is_of_routes_that_are(table: dict[str, Any]) -> None:
    """A route that has another name would else be called without what it needs."""
    assert table.keys() <= {route.key for route in routes()}


# --- who may not ----------------------------------------------------------------------------------


READ_ONLY: Final = 'path "*" { capabilities = ["read", "list"] }'
NOBODY: Final = "s.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
"""A text as tokens have it, of no vault."""


GENEROUS: Final = {
    "limits": {
        name: {"burst_size": 100_000, "per_second": 10_000}
        for name in ("failures", "refusals", "self_service")
    }
}
"""Many are refused here in a moment, and none is to be refused for that alone."""
OF_ITSELF: Final = frozenset(
    {
        "system", "changes", "audit_blocks", "credential_usage", "secret_access",
        "secret_consumers", "consumer_recorders", "dynamic_leases", "lease_clients",
    }
)  # fmt: skip
"""Tables of the agent's own book-keeping, and of what a read of `creds` asks for."""
DOOMED: Final = "the-token-that-ends"
"""Of the token that expires: the agent removes it when it comes to that."""
READ_BY_POST: Final = frozenset({"POST /api/v1/batch/read"})
THING: Final = re.compile(r"thing-\d+")
NEVER: Final = re.compile("$^")
SPENDS: Final = {"wrapping": re.compile("/sys/wrapping/")}
"""Where a credential does what it is for, and is good no more."""


def credentials(agent: Agent) -> dict[str, str]:
    """By what is wrong with it: a text for `X-Vault-Token`."""

    def made(path: str, body: Any, **headers: str) -> Any:
        answer = agent.call("POST", f"/v1/{path}", body, headers=headers)
        assert answer.status < 300, answer.body
        return answer.json

    def token(**body: Any) -> str:
        asked = {"no_default_policy": True, **body}
        return str(made("auth/token/create", asked)["auth"]["client_token"])

    made("sys/policies/acl/read-only", {"policy": READ_ONLY})
    made("sys/policies/acl/elsewhere", {"policy": READ_ONLY.replace("*", "elsewhere/*")})
    wrap = made("sys/wrapping/wrap", {"a": CANARY}, **{"X-Vault-Wrap-TTL": "1h"})
    found = {
        "none": "",
        "foreign": NOBODY,
        "expired": token(policies=["root"], ttl="1s", display_name=DOOMED),
        "revoked": token(policies=["root"]),
        "wrapping": wrap["wrap_info"]["token"],
        "of another user": token(policies=["elsewhere"]),
        "read-only": token(policies=["read-only"]),
    }
    made("auth/token/revoke", {"token": found["revoked"]})
    return found


def stored(agent: Agent) -> dict[str, list[str]]:
    """The rows of all tables."""
    [file] = agent.folder.rglob("*.db")
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        found = {
            name: sorted(map(repr, database.execute(f'SELECT * FROM "{name}"')))  # noqa: S608  # its own
            for (name,) in names
        }
    return {name: [row for row in rows if DOOMED not in row] for name, rows in found.items()}


def changed(before: dict[str, list[Any]], after: dict[str, list[Any]]) -> set[str]:
    """The tables that somebody has changed."""
    return {name for name, rows in after.items() if rows != before.get(name)} - OF_ITSELF


def is_expired(agent: Agent, token: str) -> bool:
    """Whether its time is over."""
    return agent.call("POST", "/v1/auth/token/lookup", {"token": token}).status == 403


def test_every_route_refuses_who_may_not(tmp_path: Path) -> None:
    """Each by each credential that is not enough: no value is told, nothing changes, no fault."""
    with sweep(tmp_path, 1, GENEROUS) as (agent, _), connections(agent, 1) as clients:
        held = credentials(agent)
        asked = Sweep(clients, 0)
        requests = [asked.request(route) for route in routes()]
        until(lambda: is_expired(agent, held["expired"]), "the token's end")
        before = stored(agent)
        for who, text in held.items():
            wrong = [
                (who, each.route.key, answer.status)
                for each in requests
                if not SPENDS.get(who, NEVER).search(each.path)
                for answer in [asked.ask(each.route.method, each.path, each.body, token=text)]
                if not is_right(who, each, answer)
            ]
            assert not wrong
            after = stored(agent)
            assert not changed(before, after), who
        unwrapped = agent.call("POST", "/v1/sys/wrapping/unwrap", token=held["wrapping"])
        assert unwrapped.json["data"] == {"a": CANARY}  # it was good until now
        for who in ("of another user", "read-only"):
            assert not is_expired(agent, held[who])
        assert asked.ask("POST", f"/{SEALS[0]}").status == 204
        for each in requests:
            answer = asked.ask(each.route.method, each.path, each.body, token=agent.token)
            assert each.route.public or answer.status == 503, (each.route.key, answer.status)
            assert CANARY not in answer.body.decode(errors="replace"), each.route.key


def is_right(who: str, asked: Prepared, answer: Answer) -> bool:
    """Whether an answer is what such a credential gets."""
    route, text = asked.route, answer.body.decode(errors="replace")
    if answer.status >= 500 and answer.status != REFUSED.get(route.key):
        return False
    if who == "read-only" and (is_read(route.key) or route.key in READ_BY_POST):
        return True
    names = {*THING.findall(text)} - {*THING.findall(f"{asked.path} {asked.body!r}")}
    if CANARY in text or (names and not route.public):
        return False
    if route.public or who in ("of another user", "wrapping", "read-only"):
        return True  # what is its own, and lists of what it may see: nothing is told, nothing done
    if "/sys/wrapping/" in asked.path and answer.status == 400:
        return True  # "wrapping token is not valid", as OpenBao
    return answer.status == (401 if route.below.startswith("/api/") else 403)
