"""What Terraform's Vault provider asks, in its order: OpenBao and Freehold answer alike.

The requests are those of the provider's resources for mounts, KV version 2, policies, auth mounts
and AppRole.
Compared are the status and the fields that it reads; the child token of each run does the rest.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from tests.acceptance.compat import acl_decisions
from tests.acceptance.compat.servers import Server

T = TypeVar("T")
Both = tuple[Server, Server]

MOUNT: Final = "terraform"
CHILD: Final = {
    "display_name": "terraform",
    "ttl": "1200s",
    "explicit_max_ttl": "1200s",
    "renewable": False,
}
MOUNTED: Final = {
    "type": "kv",
    "description": "of Terraform",
    "local": False,
    "seal_wrap": False,
    "external_entropy_access": False,
    "options": {"version": "2"},
    "config": {"default_lease_ttl": "0s", "max_lease_ttl": "0s"},
}
TUNED: Final = {
    "description": "changed",
    "default_lease_ttl": "0s",
    "max_lease_ttl": "0s",
    "options": {"version": "2"},
}
RULES: Final = f'path "{MOUNT}/data/app/*" {{\n  capabilities = ["read"]\n}}\n'
ROLE: Final = {"token_policies": ["terraform-app"], "token_ttl": 1200, "bind_secret_id": True}
SECRET: Final = {"cas": 0, "data": {"user": "app", "password": "pw"}, "options": {"cas": 0}}
META: Final = {"max_versions": 5, "delete_version_after": "0s", "custom_metadata": {"a": "b"}}
STORY: Final[list[tuple[str, str, Any, tuple[str, ...]]]] = [
    # verb, path, body, the fields that are read
    ("POST", f"sys/mounts/{MOUNT}", MOUNTED, ()),
    ("GET", f"sys/mounts/{MOUNT}", None, ("data.type", "data.description", "data.options.version")),
    ("GET", "sys/mounts", None, (f"data.{MOUNT}/.type", f"data.{MOUNT}/.local")),
    ("PUT", f"sys/mounts/{MOUNT}/tune", TUNED, ()),
    ("GET", f"sys/mounts/{MOUNT}/tune", None, ("data.max_lease_ttl", "data.description")),
    ("PUT", f"{MOUNT}/config", {"max_versions": 4, "delete_version_after": "12600s"}, ()),
    ("GET", f"{MOUNT}/config", None, ("data.max_versions", "data.delete_version_after")),
    ("GET", f"sys/internal/ui/mounts/{MOUNT}/app/db", None, ("data.path", "data.options.version")),
    ("PUT", f"{MOUNT}/data/app/db", SECRET, ("data.version",)),
    ("GET", f"{MOUNT}/data/app/db", None, ("data.data", "data.metadata.version")),
    ("PUT", f"{MOUNT}/metadata/app/db", META, ()),
    ("GET", f"{MOUNT}/metadata/app/db", None, ("data.max_versions", "data.custom_metadata")),
    ("PUT", f"{MOUNT}/data/app/db", SECRET, ()),  # somebody else was first
    ("DELETE", f"{MOUNT}/data/app/db", None, ()),
    ("GET", f"{MOUNT}/data/app/db", None, ("data.data",)),
    ("DELETE", f"{MOUNT}/metadata/app/db", None, ()),
    ("PUT", "sys/policies/acl/terraform-app", {"policy": RULES}, ()),
    ("GET", "sys/policies/acl/terraform-app", None, ("data.name", "data.policy")),
    ("POST", "sys/auth/terraform", {"type": "approle", "description": "machines"}, ()),
    ("GET", "sys/auth", None, ("data.terraform/.type", "data.terraform/.description")),
    ("GET", "sys/auth/terraform/tune", None, ("data.token_type",)),
    ("PUT", "auth/terraform/role/app", ROLE, ()),
    ("GET", "auth/terraform/role/app", None, ("data.token_policies", "data.token_ttl")),
    ("PUT", "auth/terraform/role/app/role-id", {"role_id": "terraform-app"}, ()),
    ("GET", "auth/terraform/role/app/role-id", None, ("data.role_id",)),
    ("PUT", "auth/terraform/role/app/secret-id", {"metadata": "{}"}, ("data.secret_id_ttl",)),
    ("DELETE", "auth/terraform/role/app", None, ()),
    ("GET", "auth/terraform/role/app", None, ()),
    ("DELETE", "sys/auth/terraform", None, ()),
    ("DELETE", "sys/policies/acl/terraform-app", None, ()),
    ("GET", "sys/policies/acl/terraform-app", None, ()),
    ("DELETE", f"sys/mounts/{MOUNT}", None, ()),
    ("GET", f"sys/mounts/{MOUNT}", None, ()),
]


def tell(server: Server) -> list[tuple[str, int, dict[str, Any]]]:
    """The answers: of the provider's own start, then to the story, by its child token."""
    found = []
    for path, fields in (
        ("auth/token/lookup-self", ("data.orphan", "data.type")),
        ("sys/health", ("initialized", "sealed", "standby")),
    ):
        found.append(_answer(server, "GET", path, None, fields, ""))
    child = acl_decisions.ask(server, "POST", "/v1/auth/token/create", CHILD).json()["auth"]
    assert (child["lease_duration"], child["renewable"]) == (1200, False)
    token = child["client_token"]
    found += [
        _answer(server, verb, path, body, fields, token) for verb, path, body, fields in STORY
    ]
    return found


def _answer(
    server: Server, verb: str, path: str, body: Any, fields: tuple[str, ...], token: str
) -> tuple[str, int, dict[str, Any]]:
    answer = acl_decisions.ask(server, verb, f"/v1/{path}", body, token=token)
    said = answer.json() if answer.content else {}
    return f"{verb} {path}", answer.status_code, {name: _at(said, name) for name in fields}


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value.get(part, "absent") if isinstance(value, dict) else "absent"
    return value


def test_every_step_is_answered_as_by_openbao(
    both: Both, once: Callable[[str, Callable[[], T]], T]
) -> None:
    """Status and fields, from the first mount to its removal."""
    openbao, freehold = both
    expected = once("terraform", lambda: tell(openbao))
    differ = [pair for pair in zip(tell(freehold), expected, strict=True) if pair[0] != pair[1]]
    assert not differ, "\n".join(map(str, differ))


def test_the_version_lets_the_provider_use_what_there_is(both: Both) -> None:
    """It compares `version` with 1.16 and more, and takes `+ent` for another product."""
    for server in both:
        said = acl_decisions.ask(server, "GET", "/v1/sys/seal-status").json()
        major, minor = said["version"].split(".")[:2]
        assert "+" not in said["version"]
        assert (int(major), int(minor)) >= ((1, 16) if server.name == "freehold" else (0, 0))
