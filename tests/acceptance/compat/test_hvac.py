"""hvac 2.4 cannot tell Freehold from OpenBao: what its calls return or raise."""

from collections.abc import Callable
from typing import Any

import hvac
import pytest
import requests

from tests.acceptance.compat.conftest import Both
from tests.acceptance.compat.normal import normal, normal_text
from tests.acceptance.compat.servers import Server

Call = Callable[[hvac.Client, str], Any]
"""Takes a client with the root token and a mount of the story's own."""

TWO: list[Call] = [
    lambda c, m: c.secrets.kv.v2.read_secret_version("none", mount_point=m),
    lambda c, m: c.secrets.kv.v2.create_or_update_secret("a/b", {"k": "v"}, mount_point=m),
    lambda c, m: c.secrets.kv.v2.create_or_update_secret("a/b", {"k": 2}, cas=1, mount_point=m),
    lambda c, m: c.secrets.kv.v2.create_or_update_secret("a/b", {"k": 2}, cas=1, mount_point=m),
    lambda c, m: c.secrets.kv.v2.read_secret_version("a/b", mount_point=m),
    lambda c, m: c.secrets.kv.v2.read_secret_version("a/b", version=1, mount_point=m),
    lambda c, m: c.secrets.kv.v2.read_secret("a/b", mount_point=m, raise_on_deleted_version=True),
    lambda c, m: c.secrets.kv.v2.patch("a/b", {"more": "x"}, mount_point=m),
    lambda c, m: c.secrets.kv.v2.patch("none", {"more": "x"}, mount_point=m),
    lambda c, m: c.secrets.kv.v2.list_secrets("", mount_point=m),
    lambda c, m: c.secrets.kv.v2.list_secrets("a", mount_point=m),
    lambda c, m: c.secrets.kv.v2.list_secrets("none", mount_point=m),
    lambda c, m: c.secrets.kv.v2.delete_latest_version_of_secret("a/b", mount_point=m),
    lambda c, m: c.secrets.kv.v2.read_secret_version(
        "a/b", mount_point=m, raise_on_deleted_version=True
    ),
    lambda c, m: c.secrets.kv.v2.read_secret_version(
        "a/b", mount_point=m, raise_on_deleted_version=False
    ),
    lambda c, m: c.secrets.kv.v2.patch("a/b", {"more": "y"}, mount_point=m),
    lambda c, m: c.secrets.kv.v2.undelete_secret_versions("a/b", versions=[3], mount_point=m),
    lambda c, m: c.secrets.kv.v2.delete_secret_versions("a/b", versions=[1], mount_point=m),
    lambda c, m: c.secrets.kv.v2.delete_secret_versions("a/b", versions=[], mount_point=m),
    lambda c, m: c.secrets.kv.v2.destroy_secret_versions("a/b", versions=[2], mount_point=m),
    lambda c, m: c.secrets.kv.v2.read_secret_version(
        "a/b", version=2, mount_point=m, raise_on_deleted_version=False
    ),
    lambda c, m: c.secrets.kv.v2.update_metadata(
        "a/b", max_versions=4, cas_required=True, delete_version_after="1h",
        custom_metadata={"team": "blue"}, mount_point=m,
    ),
    lambda c, m: c.secrets.kv.v2.read_secret_metadata("a/b", mount_point=m),
    lambda c, m: c.secrets.kv.v2.read_secret_metadata("none", mount_point=m),
    lambda c, m: c.secrets.kv.v2.create_or_update_secret("a/b", {"k": 1}, mount_point=m),
    lambda c, m: c.secrets.kv.v2.configure(max_versions=7, cas_required=False, mount_point=m),
    lambda c, m: c.secrets.kv.v2.read_configuration(mount_point=m),
    lambda c, m: c.secrets.kv.v2.delete_metadata_and_all_versions("a/b", mount_point=m),
    lambda c, m: c.secrets.kv.v2.delete_metadata_and_all_versions("a/b", mount_point=m),
    lambda c, m: c.read(f"{m}/data/a/b"),
    lambda c, m: content_type(c, f"{m}/config"),
    lambda c, m: content_type(c, f"{m}/data/none"),
    lambda c, m: c.write_data(f"{m}/data/w", data={"data": {"x": "y"}}),
    lambda c, m: c.read(f"{m}/data/w"),
    lambda c, m: c.list(f"{m}/metadata"),
    lambda c, m: c.list(f"{m}/metadata/none"),
    lambda c, m: c.delete(f"{m}/data/w"),
]  # fmt: skip

ONE: list[Call] = [
    lambda c, m: c.secrets.kv.v1.read_secret("none", mount_point=m),
    lambda c, m: c.secrets.kv.v1.create_or_update_secret("a/b", {"k": "v"}, mount_point=m),
    lambda c, m: c.secrets.kv.v1.read_secret("a/b", mount_point=m),
    lambda c, m: c.secrets.kv.v1.create_or_update_secret(
        "a/b", {"k": "w", "ttl": "1h"}, method="PUT", mount_point=m
    ),
    lambda c, m: c.secrets.kv.v1.read_secret("a/b", mount_point=m),
    lambda c, m: c.secrets.kv.v1.list_secrets("", mount_point=m),
    lambda c, m: c.secrets.kv.v1.list_secrets("a", mount_point=m),
    lambda c, m: c.secrets.kv.v1.list_secrets("none", mount_point=m),
    lambda c, m: c.secrets.kv.v1.delete_secret("a/b", mount_point=m),
    lambda c, m: c.secrets.kv.v1.delete_secret("a/b", mount_point=m),
    lambda c, m: c.secrets.kv.v1.read_secret("a/b", mount_point=m),
    lambda c, m: c.secrets.kv.v1.create_or_update_secret("e", {}, mount_point=m),
]

AGENT: list[Call] = [
    lambda c, _: c.is_authenticated(),
    lambda c, _: c.sys.is_initialized(),
    lambda c, _: c.sys.is_sealed(),
    lambda c, _: c.sys.read_init_status(),
    lambda c, _: c.sys.read_leader_status(),
    lambda c, _: c.sys.read_health_status(method="GET"),
    lambda c, _: c.sys.read_health_status(method="HEAD"),
    lambda c, _: c.sys.get_encryption_key_status(),
    lambda c, m: c.sys.enable_secrets_engine("kv", path=f"{m}-a", options={"version": "2"}),
    lambda c, m: c.sys.enable_secrets_engine("kv", path=f"{m}-a"),
    lambda c, m: c.sys.list_mounted_secrets_engines()["data"][f"{m}-a/"],
    lambda c, m: c.sys.read_mount_configuration(f"{m}-a"),
    lambda c, m: c.sys.tune_mount_configuration(f"{m}-a", description="new"),
    lambda c, m: c.sys.retrieve_mount_option(f"{m}-a", "version"),
    lambda c, m: c.sys.disable_secrets_engine(f"{m}-a"),
    lambda c, _: c.lookup_token()["data"]["policies"],
    lambda c, _: c.auth.token.create(policies=["default"], ttl="1h", meta={"a": "b"}),
    lambda c, _: c.auth.token.create_orphan(policies=["default"], ttl="1h"),
    lambda c, _: c.auth.token.lookup("nobody"),
    lambda c, _: c.auth.token.lookup_accessor("nobody"),
    lambda c, _: c.auth.token.renew("nobody"),
    lambda c, _: c.auth.token.renew_self(),
    lambda c, _: c.auth.token.revoke("nobody"),
    lambda c, _: c.auth.token.revoke_accessor("nobody"),
    lambda c, _: c.auth.token.revoke_and_orphan_children("nobody"),
    lambda c, _: c.auth.token.list_accessors()["data"].keys(),
    lambda c, _: life_of_a_token(c),
    lambda c, _: hvac.Client(url=c.url, token="nobody").is_authenticated(),
    lambda c, m: hvac.Client(url=c.url, token="nobody").read(f"{m}/data/x"),
    lambda c, _: c.read("nowhere/at/all"),
]


def life_of_a_token(client: hvac.Client) -> list[Any]:
    """Made, looked up, renewed, revoked; its child goes with it."""
    made = client.auth.token.create(policies=["root"], ttl="2h", renewable=True)["auth"]
    own = hvac.Client(url=client.url, token=made["client_token"])
    child = own.auth.token.create(policies=["default"], ttl="1h")["auth"]
    return [
        own.auth.token.lookup_self(),
        own.auth.token.renew_self(increment="1h"),
        client.auth.token.renew(child["client_token"], increment="20m"),
        client.auth.token.renew_accessor(made["accessor"], increment="30m"),
        client.auth.token.lookup_accessor(child["accessor"]),
        made["accessor"] in client.auth.token.list_accessors()["data"]["keys"],
        client.auth.token.revoke_accessor(made["accessor"]).status_code,
        own.is_authenticated(),
        hvac.Client(url=client.url, token=child["client_token"]).is_authenticated(),
    ]


def content_type(client: hvac.Client, path: str) -> str:
    """Clients compare it whole: a charset would break them."""
    headers = {"X-Vault-Token": client.token}
    return requests.get(f"{client.url}/v1/{path}", headers=headers, timeout=30).headers[
        "content-type"
    ]


def outcome(call: Call, client: hvac.Client, mount: str) -> object:
    """What a program sees of one call, its volatile parts replaced."""
    try:
        result = call(client, mount)
    except hvac.exceptions.VaultError as error:
        return type(error).__name__, normal_text(str(error)), error.errors
    if isinstance(result, requests.Response):
        return result.status_code, normal_text(result.text)
    return normal(result if isinstance(result, dict | list) else str(result))


def told(server: Server, calls: list[Call], mount: str, version: int) -> list[object]:
    """All calls, one after the other, on a new mount."""
    client = hvac.Client(url=server.address, token=server.token)
    client.sys.enable_secrets_engine("kv", path=mount, options={"version": str(version)})
    return [outcome(call, client, mount) for call in calls]


# hvac says so of its own calls, too: its `patch` reads without choosing.
@pytest.mark.filterwarnings("ignore:The raise_on_deleted_version:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "calls", "version"), [("hvac-two", TWO, 2), ("hvac-one", ONE, 1), ("hvac", AGENT, 2)]
)
def test_hvac(
    both: Both,
    once: Callable[[str, Callable[[], list[object]]], list[object]],
    name: str,
    calls: list[Call],
    version: int,
) -> None:
    """Each call returns the same, or raises the same with the same words."""
    openbao, freehold = both
    expected = once(name, lambda: told(openbao, calls, name, version))
    found = told(freehold, calls, name, version)
    pairs = zip(expected, found, strict=True)
    different = {n: pair for n, pair in enumerate(pairs) if pair[0] != pair[1]}
    assert not different, "\n".join(f"call {n}: {a}\n  but {b}" for n, (a, b) in different.items())
