"""Auth mounts, AppRole, userpass and tokens: OpenBao and Freehold are asked the same, in turn."""

import json
from typing import Any, Final

import requests

from tests.acceptance.compat.normal import normal
from tests.acceptance.compat.servers import Server
from tests.support.polling import looks

Call = tuple[str, str, dict[str, Any] | None, str]
"""Method, path, body, and as whom (a name that an earlier answer was kept under; empty: root)."""

APPROLE: Final[list[Call]] = [
    ("POST", "sys/auth/MOUNT", {"type": "approle"}, ""),
    ("POST", "sys/auth/MOUNT", {"type": "approle"}, ""),
    ("GET", "sys/auth/MOUNT", None, ""),
    ("POST", "sys/auth/MOUNT/tune", {"default_lease_ttl": "1h", "max_lease_ttl": "2h"}, ""),
    ("GET", "sys/auth/MOUNT/tune", None, ""),
    ("POST", "auth/MOUNT/role/web", {"token_policies": "p1", "token_ttl": "20m"}, ""),
    ("GET", "auth/MOUNT/role/web", None, ""),
    ("GET", "auth/MOUNT/role/web/role-id", None, ""),
    ("POST", "auth/MOUNT/role/web/secret-id", {"metadata": '{"k":"v"}'}, ""),
    ("POST", "auth/MOUNT/login", {"role_id": "$role_id", "secret_id": "$secret_id"}, ""),
    ("GET", "auth/token/lookup-self", None, "client_token"),
    ("POST", "auth/token/renew-self", {}, "client_token"),
    ("POST", "auth/MOUNT/login", {"role_id": "$role_id", "secret_id": "no"}, ""),
    ("POST", "auth/MOUNT/login", {"role_id": "no", "secret_id": "no"}, ""),
    ("POST", "auth/MOUNT/login", {"role_id": "$role_id"}, ""),
    ("POST", "auth/MOUNT/role/web/secret-id/lookup", {"secret_id": "$secret_id"}, ""),
    ("POST", "auth/MOUNT/role/web/secret-id/lookup", {"secret_id": "no"}, ""),
    (
        "POST", "auth/MOUNT/role/web/secret-id-accessor/lookup",
        {"secret_id_accessor": "$secret_id_accessor"}, "",
    ),
    ("POST", "auth/MOUNT/role/web/secret-id/destroy", {"secret_id": "$secret_id"}, ""),
    ("LIST", "auth/MOUNT/role/web/secret-id", None, ""),
    ("POST", "auth/MOUNT/role/web/custom-secret-id", {"secret_id": "mine"}, ""),
    ("POST", "auth/MOUNT/role/web/policies", {"token_policies": "a,b"}, ""),
    ("GET", "auth/MOUNT/role/web/policies", None, ""),
    ("DELETE", "auth/MOUNT/role/web/policies", None, ""),
    ("POST", "auth/MOUNT/role/once", {"secret_id_num_uses": 1}, ""),
    ("GET", "auth/MOUNT/role/once/role-id", None, ""),
    ("POST", "auth/MOUNT/role/once/secret-id", {}, ""),
    ("POST", "auth/MOUNT/login", {"role_id": "$role_id", "secret_id": "$secret_id"}, ""),
    ("POST", "auth/MOUNT/login", {"role_id": "$role_id", "secret_id": "$secret_id"}, ""),
    ("LIST", "auth/MOUNT/role", None, ""),
    ("POST", "auth/MOUNT/tidy/secret-id", {}, ""),
    ("DELETE", "auth/MOUNT/role/web", None, ""),
    ("GET", "auth/MOUNT/role/web", None, ""),
    ("DELETE", "sys/auth/MOUNT", None, ""),
    ("GET", "auth/token/lookup-self", None, "client_token"),
    ("POST", "auth/MOUNT/login", {}, ""),
]  # fmt: skip
USERPASS: Final[list[Call]] = [
    ("POST", "sys/auth/MOUNT", {"type": "userpass"}, ""),
    ("POST", "auth/MOUNT/users/ann", {"password": "right", "token_policies": "p1"}, ""),
    ("GET", "auth/MOUNT/users/ann", None, ""),
    ("POST", "auth/MOUNT/login/ANN", {"password": "right"}, ""),
    ("GET", "auth/token/lookup-self", None, "client_token"),
    ("POST", "auth/MOUNT/login/nobody", {"password": "wrong"}, ""),
    ("POST", "auth/MOUNT/users/ann/password", {"password": "other"}, ""),
    ("POST", "auth/MOUNT/login/ann", {"password": "other"}, ""),
    ("LIST", "auth/MOUNT/users", None, ""),
    *[("POST", "auth/MOUNT/login/ann", {"password": "wrong"}, "")] * 6,
    ("POST", "auth/MOUNT/login/Ann", {"password": "other"}, ""),
    (
        "POST",
        "auth/MOUNT/users/batch",
        {"password": "x", "token_type": "batch", "token_ttl": "10m"},
        "",
    ),
    ("POST", "auth/MOUNT/login/batch", {"password": "x"}, ""),
    ("GET", "auth/token/lookup-self", None, "client_token"),
    ("POST", "auth/token/renew-self", {}, "client_token"),
    ("POST", "auth/token/revoke-self", {}, "client_token"),
    ("DELETE", "auth/MOUNT/users/ann", None, ""),
]
TOKENS: Final[list[Call]] = [
    ("POST", "auth/token/roles/r1", {"allowed_policies": "p1", "orphan": True}, ""),
    ("GET", "auth/token/roles/r1", None, ""),
    ("POST", "auth/token/create/r1", {}, ""),
    ("GET", "auth/token/lookup-self", None, "client_token"),
    ("POST", "auth/token/create/r1", {"policies": ["other"]}, ""),
    ("POST", "auth/token/create/nosuch", {}, ""),
    ("POST", "auth/token/roles/r2", {"disallowed_policies_glob": "x*", "path_suffix": "suf"}, ""),
    ("POST", "auth/token/create/r2", {"policies": ["xy"]}, ""),
    ("POST", "auth/token/create/r2", {"policies": ["y"]}, ""),
    ("POST", "auth/token/roles/r3", {"token_type": "batch"}, ""),
    ("POST", "auth/token/create", {"type": "batch"}, ""),
    ("POST", "auth/token/create", {"type": "batch", "policies": ["default"], "num_uses": 3}, ""),
    ("POST", "auth/token/create", {"type": "batch", "policies": ["default"], "ttl": "1h"}, ""),
    ("GET", "auth/token/lookup-self", None, "client_token"),
    ("POST", "auth/token/create", {}, "client_token"),
    ("LIST", "auth/token/roles", None, ""),
    ("DELETE", "auth/token/roles/r1", None, ""),
    ("GET", "auth/token/roles/r1", None, ""),
    ("POST", "auth/token/tidy", {}, ""),
]
VOLATILE: Final = frozenset(
    {"role_id", "secret_id", "secret_id_accessor", "entity_id", "expiration_time", "keys",
     "last_updated_time"}
)  # fmt: skip
"""Beside `normal`: identifiers. Freehold has an entity where it knows whose a login is."""
KEPT: Final = ("role_id", "secret_id", "secret_id_accessor", "client_token")


def answers(server: Server, calls: list[Call], mount: str) -> list[Any]:
    """Status and body of each, its volatile parts replaced."""
    kept: dict[str, str] = {}
    told = []
    for method, path, body, by in calls:
        place = path.replace("MOUNT", mount)
        sent = {
            name: kept[value[1:]] if isinstance(value, str) and value.startswith("$") else value
            for name, value in (body or {}).items()
        }
        answer = requests.request(
            method,
            f"{server.address}/v1/{place}",
            data=None if body is None else json.dumps(sent),
            headers={"X-Vault-Token": kept[by] if by else server.token},
            timeout=30,
        )
        found = answer.json() if answer.content else None
        for part in ("data", "auth"):
            inner = (found or {}).get(part) or {}
            kept |= {name: inner[name] for name in KEPT if name in inner}
        told.append((method, path, answer.status_code, masked(normal(found))))
    return told


def masked(value: Any, key: str = "") -> Any:
    """What `normal` leaves, without identifiers and what the mount is called."""
    if isinstance(value, dict):
        return {name: masked(item, name) for name, item in value.items() if name != "mount_type"}
    if key in VOLATILE:
        return f"<{key}>"
    if isinstance(value, list):
        return [masked(item, key) for item in value]
    return value


def test_approle(both: tuple[Server, Server]) -> None:
    """From enabling to disabling."""
    openbao, freehold = (answers(server, APPROLE, "machines") for server in both)
    assert freehold == openbao


def test_userpass(both: tuple[Server, Server]) -> None:
    """With the lockout, and batch tokens of logins."""
    openbao, freehold = (answers(server, USERPASS, "people") for server in both)
    assert freehold == openbao


def test_token_roles_and_batch_tokens(both: tuple[Server, Server]) -> None:
    """Their rules, in its words."""
    openbao, freehold = (answers(server, TOKENS, "") for server in both)
    assert freehold == openbao


def test_mounts_that_are_listed_before_a_login(both: tuple[Server, Server]) -> None:
    """Without a token those that say so, and of these only what a sign-in page needs."""
    told = []
    for server in both:
        for path, config in (("open", {"listing_visibility": "unauth"}), ("closed", {})):
            made = requests.post(
                f"{server.address}/v1/sys/auth/{path}",
                json={"type": "userpass", "description": path, "config": config},
                headers={"X-Vault-Token": server.token},
                timeout=30,
            )
            assert made.status_code == 204, made.text
        url = f"{server.address}/v1/sys/internal/ui/mounts"
        for _ in looks(20):
            shown = requests.get(url, timeout=30).json()["data"]
            if shown["auth"]:
                break
        told.append(shown)
        for path in ("open", "closed"):
            place = f"{server.address}/v1/sys/auth/{path}"
            requests.delete(place, headers={"X-Vault-Token": server.token}, timeout=30)
    assert told[0]["auth"] == told[1]["auth"] != {}
    assert told[1]["secret"] == {}
