"""A story of database mounts and leases: where Freehold answers otherwise, and why."""

from dataclasses import dataclass, field
from typing import Any

POSTGRESQL_URL = "postgresql://{{username}}:{{password}}@/appdb?host=FOLDER"
MYSQL_URL = "{{username}}:{{password}}@unix(SOCKET)/appdb"
CREATE_ROLE = (
    "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' "
    'IN ROLE with_password; GRANT readers TO "{{name}}";'
)
CREATE_USER = (
    "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; "
    "GRANT SELECT ON appdb.* TO '{{name}}'@'%';"
)
PG = {
    "plugin_name": "postgresql-database-plugin",
    "connection_url": POSTGRESQL_URL,
    "username": "ADMIN",
    "password": "first-password",
}
MY = {
    "plugin_name": "mysql-database-plugin",
    "connection_url": MYSQL_URL,
    "username": "ADMIN",
    "password": "first-password",
}
RO = {
    "db_name": "pg", "creation_statements": [CREATE_ROLE], "default_ttl": "1h", "max_ttl": "24h",
}  # fmt: skip
INLINE = {
    "plugin_name": "postgresql-database-plugin",
    "connection_url": "postgresql://STATIC:x@/appdb?host=FOLDER",
}
STATIC = {"db_name": "pg", "username": "STATIC", "rotation_period": "1h"}
NOWHERE = {**PG, "connection_url": "postgresql://{{username}}:{{password}}@127.0.0.1:1/x"}
LEASES = "sys/leases"


@dataclass(frozen=True)
class Ask:
    """A request. `{name}` stands for what a request before has kept (name → dotted path).

    `differs`: why Freehold answers otherwise, with `status` and, unless it is None, this `text` in
    its answer.
    """

    method: str
    path: str
    body: dict[str, Any] | None = None
    keep: dict[str, str] = field(default_factory=dict)
    token: str = ""
    differs: str = ""
    status: int = 0
    text: str = ""


def get(path: str, **more: Any) -> Ask:
    """A GET."""
    return Ask("GET", path, **more)


def keys(path: str, **more: Any) -> Ask:
    """A LIST."""
    return Ask("LIST", path, **more)


def delete(path: str, **more: Any) -> Ask:
    """A DELETE."""
    return Ask("DELETE", path, **more)


def put(path: str, body: dict[str, Any] | None = None, **more: Any) -> Ask:
    """A PUT with a body."""
    return Ask("PUT", path, body or {}, **more)


EARLY = "a mistake is told when the role is written, and not when credentials are asked for"
CLIENTS_FAULT = "400 where OpenBao says 500 for a client's fault"
NOT_SERVED = "not served: refused rather than forgotten"
OWN_WORDS = "the same refusal in other words"
OLD_PATHS = "OpenBao has removed the older paths, which spring-vault and node-vault still use"
OWNER = "the owner of a lease may end it without a policy; others need one"

NOTHING_THERE = [
    *(keys(f"database/{name}") for name in ("config", "roles", "static-roles")),
    *(get(f"database/{name}/none") for name in ("config", "roles", "static-roles")),
    *(delete(f"database/{name}/none") for name in ("config", "roles", "static-roles")),
    *(get(f"database/{name}") for name in ("config", "roles", "static-roles")),
    *(put(f"database/{name}") for name in ("config", "roles", "static-roles")),
    get("database/creds/none"),
    get("database/static-creds/none"),
    put("database/creds/none"),
    put("database/static-creds/none"),
    keys("database/creds"),
    put("database/rotate-role/none"),
    put("database/rotate-root/none", differs=CLIENTS_FAULT, status=400, text='name: \\"none\\"'),
    put("database/reset/none", differs=CLIENTS_FAULT, status=400, text='name: \\"none\\"'),
    get("database/rotate-root/none"),
    get("database/rotate-role/none"),
    get("database/reset/none"),
    get("database/x"),
    get("sys/mounts/database"),
    get("sys/mounts/database/tune"),
    get("sys/internal/ui/mounts/database"),
]

CONNECTIONS = [
    put("database/config/pg"),
    put("database/config/pg", {"plugin_name": "postgresql-database-plugin"}),
    put("database/config/pg", {"plugin_name": "none"}),
    put("database/config/pg", NOWHERE, differs=OWN_WORDS, status=400, text="target_unreachable"),
    put(
        "database/config/pg", {**PG, "password": "wrong"},
        differs=OWN_WORDS, status=400, text="error verifying connection: administrator_refused",
    ),
    get("database/config/pg"),
    put("database/config/pg", {**PG, "allowed_roles": "ro,other"}),
    get("database/config/pg"),
    put("database/config/pg", {"allowed_roles": ["ro", "st", "self"], "max_open_connections": 5}),
    get("database/config/pg"),
    put("database/config/my", {**MY, "allowed_roles": ["*"], "username_template": ""}),
    get("database/config/my"),
    put("database/config/none", {**NOWHERE, "verify_connection": False}),
    get("database/config/none"),
    keys("database/config"),
    delete("database/config/none"),
    put("database/config/leg", {**MY, "plugin_name": "mysql-legacy-database-plugin"}),
    get("database/config/leg"),
    delete("database/config/leg"),
    put("database/config/bad", {**PG, "connection_url": 5}),
    put(
        "database/config/bad", {**PG, "username_template": "{{.RoleName}}"},
        differs=NOT_SERVED, status=400, text="username_template is not served: users are named by",
    ),
    put(
        "database/config/bad", {**PG, "password_policy": "p"},
        differs=NOT_SERVED, status=400, text="password_policy is not served",
    ),
    put(
        "database/config/bad", {**PG, "nonsense": "x"},
        differs=NOT_SERVED, status=400, text="nonsense is not served: this plugin has no such",
    ),
    put("database/config/rd", {"plugin_name": "redis-database-plugin"}),
    put(
        "database/config/in", INLINE,
        differs="OpenBao warns of the address as of an unknown field, too",
        status=200, text="Password found in connection_url",
    ),
    get("database/config/in"),
    put("database/rotate-root/in", differs="OpenBao needs the user in a field", status=204),
    put("database/reset/in"),
    delete("database/config/in"),
]  # fmt: skip

ROLES = [
    put("database/roles/ro"),
    put("database/roles/ro", RO),
    get("database/roles/ro"),
    put("database/roles/ro", {"default_ttl": "2h"}),
    get("database/roles/ro"),
    put("database/roles/ro", {**RO, "revocation_statements": "", "default_ttl": 3600}),
    get("database/roles/ro"),
    put("database/roles/my", {**RO, "db_name": "my", "creation_statements": CREATE_USER}),
    get("database/roles/my"),
    keys("database/roles"),
    put("database/roles/bad", {**RO, "credential_type": "none"}),
    put("database/roles/bad", {**RO, "default_ttl": "-1h"}),
    put(
        "database/roles/bad", {**RO, "db_name": "none"},
        differs=EARLY, status=400, text="failed to find entry for connection with name",
    ),
    put("database/roles/bad", RO, differs=EARLY, status=403, text="does not allow this role"),
    put(
        "database/roles/bad", {"db_name": "my"},
        differs=EARLY, status=400, text="empty creation statements",
    ),
    put(
        "database/roles/bad", {**RO, "db_name": "my", "default_ttl": "3h", "max_ttl": "1h"},
        differs=EARLY, status=400, text="at most max_ttl",
    ),
    put(
        "database/roles/bad", {**RO, "renew_statements": "SELECT 1"},
        differs=NOT_SERVED, status=400, text="renew_statements is not served",
    ),
    put(
        "database/roles/bad", {**RO, "credential_type": "rsa_private_key"},
        differs=NOT_SERVED, status=400, text="there are passwords only",
    ),
    delete("database/roles/bad"),
]  # fmt: skip

CREDENTIALS = [
    get("database/creds/ro", keep={"one": "lease_id"}),
    get("database/creds/ro", keep={"two": "lease_id"}),
    get("database/creds/my", keep={"three": "lease_id"}),
    put(f"{LEASES}/lookup", {"lease_id": "{one}"}),
    put(f"{LEASES}/lookup"),
    put(f"{LEASES}/lookup", {"lease_id": "none"}),
    get(f"{LEASES}/lookup/{{one}}"),
    keys(f"{LEASES}/lookup/database"),
    keys(f"{LEASES}/lookup/database/creds"),
    keys(f"{LEASES}/lookup/database/creds/ro"),
    keys(f"{LEASES}/lookup/database/creds/ro/"),
    keys(f"{LEASES}/lookup/database/creds/r"),
    keys(f"{LEASES}/lookup/none"),
    put(f"{LEASES}/renew", {"lease_id": "{one}"}),
    put(f"{LEASES}/renew", {"lease_id": "{one}", "increment": 1800}),
    put(f"{LEASES}/renew/{{one}}", {"increment": "30m"}),
    put(
        f"{LEASES}/renew", {"lease_id": "{one}", "increment": 999_999},
        differs="the warning in other words", status=200, text="its role allows no longer",
    ),
    put(f"{LEASES}/renew", {"lease_id": "{one}", "increment": None}),
    put(f"{LEASES}/renew", {"lease_id": "{one}", "increment": -5}),
    put(f"{LEASES}/renew"),
    put(f"{LEASES}/renew", {"lease_id": "none"}),
    put(f"{LEASES}/lookup", {"lease_id": "{one}"}),
    put("sys/renew", {"lease_id": "{one}"}, differs=OLD_PATHS, status=200, text='"lease_duration"'),
    put("sys/renew/{one}", differs=OLD_PATHS, status=200, text='"renewable":true'),
    get(f"{LEASES}/count"),
    get(f"{LEASES}/count?type=irrevocable"),
    get(LEASES),
    get(f"{LEASES}?type=irrevocable"),
    put(f"{LEASES}/revoke", {"lease_id": "{one}", "sync": True}),
    put(f"{LEASES}/revoke", {"lease_id": "{one}"}),
    put(f"{LEASES}/revoke"),
    put(f"{LEASES}/revoke", {"lease_id": "none"}),
    put(f"{LEASES}/lookup", {"lease_id": "{one}"}),
    put(f"{LEASES}/renew", {"lease_id": "{one}"}),
    put("sys/revoke", {"lease_id": "{three}"}, differs=OLD_PATHS, status=204),
    put(f"{LEASES}/revoke-prefix/none"),
    put(f"{LEASES}/revoke-prefix/"),
    put(f"{LEASES}/revoke-force/"),
    put(f"{LEASES}/tidy"),
    put(f"{LEASES}/revoke-prefix/database/creds/ro"),
    put(f"{LEASES}/lookup", {"lease_id": "{two}"}),
    put(f"{LEASES}/revoke-force/database/creds"),
]  # fmt: skip

STATIC_ROLES = [
    put("database/static-roles/st"),
    put("database/static-roles/st", {"db_name": "pg"}),
    put("database/static-roles/st", {"db_name": "pg", "username": "STATIC"}),
    put(
        "database/static-roles/st",
        {"db_name": "pg", "username": "STATIC", "rotation_period": 4},
        differs="a rotation takes a minute at least", status=400, text="must be 60 seconds or more",
    ),
    put(
        "database/static-roles/st",
        {"db_name": "pg", "username": "nobody", "rotation_period": "1h"},
        differs=CLIENTS_FAULT, status=400, text="error setting credentials: the server has no user",
    ),
    get("database/static-roles/st"),
    get("database/static-creds/st"),
    put("database/static-roles/st", STATIC),
    get("database/static-roles/st"),
    get("database/static-creds/st", keep={"first": "data.password"}),
    put("database/rotate-role/st"),
    put("database/rotate-role/st"),
    get("database/static-creds/st", keep={"second": "data.password"}),
    put("database/static-roles/st", {"db_name": "pg", "username": "other", "rotation_period": 60}),
    put("database/static-roles/st", {"rotation_period": "2h"}),
    put("database/static-roles/st", {"username": "STATIC", "rotation_period": "2h"}),
    get("database/static-roles/st"),
    put("database/static-roles/ro", STATIC),
    put("database/roles/st", RO),
    put(
        "database/static-roles/bad",
        {"db_name": "none", "username": "STATIC", "rotation_period": "1h"},
        differs=CLIENTS_FAULT, status=400, text="failed to find entry for connection with name",
    ),
    put(
        "database/static-roles/bad",
        STATIC,
        differs="403 where OpenBao says 500", status=403, text="does not allow this role",
    ),
    put(
        "database/static-roles/my",
        {
            "db_name": "my", "username": "STATIC", "rotation_period": 86400,
            "rotation_statements": ["ALTER USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'"],
        },
    ),
    get("database/static-roles/my"),
    get("database/static-creds/my"),
    keys("database/static-roles"),
    get("database/creds/st"),
    get("database/static-creds/ro"),
    delete("database/static-roles/st"),
    get("database/static-creds/st"),
]  # fmt: skip

ROTATE_ROOT = [
    put("database/rotate-root/pg"),
    put("database/rotate-root/pg"),
    get("database/config/pg"),
    get("database/creds/ro"),
    put("database/rotate-root/my"),
    get("database/creds/my"),
    put("database/reset/pg"),
    put("database/reset/my"),
]

IN_USE = [
    delete(
        "database/config/my",
        differs="a connection that leases need stays, so that their users can be dropped",
        status=400, text="roles or leases need the connection",
    ),
    delete("database/roles/ro"),
    get("database/creds/ro"),
    delete(
        "sys/mounts/database",
        differs="leases are revoked first", status=400, text="leases of this mount may have users",
    ),
]  # fmt: skip

STORY = [
    *NOTHING_THERE, *CONNECTIONS, *ROLES, *CREDENTIALS, *STATIC_ROLES, *ROTATE_ROOT, *IN_USE,
]  # fmt: skip
