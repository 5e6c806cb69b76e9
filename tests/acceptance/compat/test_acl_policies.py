"""Policies in Vault's language: no way around them, and the decisions of OpenBao.

An attacker with such policies tries the native API, other spellings and other operations. What two
servers can be asked alike is asked of both.
"""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.acceptance.agent import Form
from tests.acceptance.compat.acl_decisions import Pair, ask, compare_capabilities, login
from tests.acceptance.compat.servers import freehold_dev, openbao_dev


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """OpenBao and Freehold, open, with a secret."""
    form = Form(1)
    with (
        openbao_dev(tmp_path_factory.mktemp("openbao"), form) as openbao,
        freehold_dev(tmp_path_factory.mktemp("freehold"), form) as freehold,
    ):
        for server in (openbao, freehold):
            for name in ("app/db", "app/sub/x", "other"):
                ask(server, "POST", f"/v1/secret/data/{name}", {"data": {"a": "1"}})
        yield openbao, freehold


WRITER: Final = """
path "secret/data/*" { capabilities = ["create", "read", "update", "delete"] }
path "secret/metadata/*" { capabilities = ["deny"] }
path "secret/undelete/*" { capabilities = ["deny"] }
path "secret/delete/*" { capabilities = ["deny"] }
path "secret/destroy/*" { capabilities = ["update"] }
"""
SYSTEM: Final = """
path "sys/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "sys/policies/acl/*" { capabilities = ["deny"] }
path "sys/mounts/+/tune" { capabilities = ["deny"] }
path "sys/seal" { capabilities = ["sudo"] }
"""
NATIVE: Final = {
    "metadata are written": (WRITER, "PATCH", "metadata/secret/app/db", {"max_versions": 1}),
    "metadata come with a value": (
        WRITER, "PUT", "secrets/secret/app/db", {"value": 1, "metadata": {"a": "b"}},
    ),
    "tags come in a batch": (
        WRITER, "POST", "batch/write",
        {"secrets": [{"name": "secret/app/db", "value": 1, "tags": ["x"]}]},
    ),
    "a version is undeleted": (WRITER, "POST", "undelete/secret/app/db", {"versions": [1]}),
    "an old version is deleted": (WRITER, "POST", "delete/secret/app/db", {"versions": [1]}),
    "all is erased": (WRITER, "DELETE", "metadata/secret/app/db", None),
    "a part is changed": (WRITER, "PATCH", "secrets/secret/app/db", {"b": 1}),
    "a policy is read": (SYSTEM, "GET", "policies/default", None),
    "a policy is written": (SYSTEM, "PUT", "policies/mine", {"rules": []}),
    "policies are listed": (SYSTEM, "GET", "policies", None),
    "a mount is tuned": (SYSTEM, "PATCH", "system/mounts/secret", {"description": "x"}),
    "the audit log is read": (SYSTEM, "GET", "audit/events", None),
    "accesses are replayed": (SYSTEM, "POST", "policies-replay", {"since": "2026-01-01T00:00:00Z"}),
    "it is sealed without update": (SYSTEM, "POST", "system/seal", None),
    "a lease of somebody else is looked up": (
        """path "sys/leases/*" { capabilities = ["update"] }
        path "sys/leases/lookup" { capabilities = ["deny"] }""",
        "GET", "leases/database/creds/a/1", None,
    ),
    "a mount is made without update": (
        'path "sys/mounts/*" { capabilities = ["create"] }',
        "POST", "system/mounts/new", {"version": 2},
    ),
}  # fmt: skip
"""What policies in Vault's language deny by a path that the native API does not have."""


@pytest.mark.parametrize("name", NATIVE)
def test_the_native_api_is_no_way_around(pair: Pair, name: str) -> None:
    """Each is refused as the request of OpenBao's API would be that comes nearest."""
    text, method, path, body = NATIVE[name]
    _, freehold = pair
    token = login(freehold, "native", text)
    headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
    answer = ask(freehold, method, f"/api/v1/{path}", body, token=token, headers=headers)
    shown = answer.text
    if path.startswith("batch/"):
        assert "permission_denied" in shown
    else:
        assert (answer.status_code, "permission_denied" in shown) == (403, True), shown


ALIKE: Final = {
    "a list without its slash": (
        """path "secret/metadata/*" { capabilities = ["list"] }
        path "secret/metadata/app/" { capabilities = ["deny"] }""",
        "LIST", "secret/metadata/app", None,
    ),
    "a list by a query": (
        """path "secret/metadata/*" { capabilities = ["list"] }
        path "secret/metadata/app/" { capabilities = ["deny"] }""",
        "GET", "secret/metadata/app?list=true", None,
    ),
    "a policy by its other path": (
        """path "sys/policies/acl/*" { capabilities = ["deny"] }
        path "sys/*" { capabilities = ["read"] }""",
        "GET", "sys/policy/default", None,
    ),
    "create is not enough for a mount": (
        'path "sys/mounts/*" { capabilities = ["create"] }',
        "POST", "sys/mounts/new", {"type": "kv"},
    ),
    "the accessors without sudo": (
        'path "auth/token/accessors/" { capabilities = ["list"] }',
        "LIST", "auth/token/accessors", None,
    ),
    "the accessors": (
        'path "auth/token/accessors/" { capabilities = ["list", "sudo"] }',
        "LIST", "auth/token/accessors", None,
    ),
    "create is not enough for what is there": (
        'path "secret/data/*" { capabilities = ["create"] }',
        "POST", "secret/data/other", {"data": {"a": "1"}},
    ),
    "update is not enough for what is not there": (
        'path "secret/data/*" { capabilities = ["update"] }',
        "POST", "secret/data/none", {"data": {"a": "1"}},
    ),
    "a field that is not allowed": (
        """path "secret/data/*" { capabilities = ["update"]
        allowed_parameters = { data = [] } }""",
        "POST", "secret/data/other", {"data": {"a": "1"}, "options": {}},
    ),
    "a field that is required": (
        """path "secret/data/*" { capabilities = ["update"]
        required_parameters = ["options"] }""",
        "POST", "secret/data/other", {"data": {"a": "1"}},
    ),
    "a version that is denied": (
        """path "secret/data/*" { capabilities = ["read"]
        denied_parameters = { version = ["1"] } }""",
        "GET", "secret/data/other?version=1", None,
    ),
    "a lease of somebody else, by its field": (
        """path "sys/leases/*" { capabilities = ["update"] }
        path "sys/leases/lookup" { capabilities = ["deny"] }""",
        "POST", "sys/leases/lookup", {"lease_id": "database/creds/a/1"},
    ),
    "leases by their beginning, without sudo": (
        'path "sys/leases/*" { capabilities = ["update"] }',
        "POST", "sys/leases/revoke-prefix/database/", None,
    ),
    "tuning by a denied path": (
        """path "sys/mounts/*" { capabilities = ["update"] }
        path "sys/mounts/secret/tune" { capabilities = ["deny"] }""",
        "POST", "sys/mounts/secret/tune", {"description": "x"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ALIKE)
def test_requests_are_decided_alike(pair: Pair, name: str) -> None:
    """The same policy, the same request: allowed by both, or refused by both."""
    text, method, path, body = ALIKE[name]
    openbao, freehold = (
        ask(server, method, f"/v1/{path}", body, token=login(server, "alike", text)).status_code
        for server in pair
    )
    assert (openbao == 403) is (freehold == 403), (openbao, freehold)


@pytest.mark.parametrize(
    ("text", "method", "path", "body"),
    [
        (ALIKE["a version that is denied"][0], "GET", "secret/data/other?version=1",
         {"version": "2"}),
        (ALIKE["tuning by a denied path"][0], "POST", "sys/mounts/secret//tune",
         {"description": "x"}),
        (ALIKE["tuning by a denied path"][0], "POST", "sys/mounts/secret/%74une",
         {"description": "x"}),
    ],
)  # fmt: skip
def test_other_spellings_lead_nowhere(
    pair: Pair, text: str, method: str, path: str, body: Any
) -> None:
    """Of a field that comes in two places, or of a path."""
    _, freehold = pair
    answer = ask(freehold, method, f"/v1/{path}", body, token=login(freehold, "other", text))
    assert answer.status_code in {400, 403, 404}, answer.text
    mount = ask(freehold, "GET", "/v1/sys/mounts/secret").json()["data"]
    assert mount["description"] != "x"


def test_a_list_filter_holds_for_a_search_and_the_change_feed(pair: Pair) -> None:
    """They show no name that the list of its folder would not."""
    _, freehold = pair
    text = """
    path "secret/metadata/*" {
      capabilities = ["list"]
      list_scan_response_keys_filter_path = "secret/data/{{ .key }}"
    }
    path "secret/data/db" { capabilities = ["read"] }
    """
    token = login(freehold, "filter", text)
    ask(freehold, "POST", "/v1/secret/data/app/hidden", {"data": {"a": "1"}})
    found = ask(freehold, "GET", "/api/v1/secrets?prefix=secret/app/", token=token)
    names = [each["name"] for each in found.json()["secrets"]]
    assert "secret/app/db" in names
    assert "secret/app/hidden" not in names


def test_nobody_lifts_a_denial_by_a_more_specific_path(pair: Pair) -> None:
    """In the policy that denies, or in another; nor by letting the denial expire."""
    _, freehold = pair
    token = login(
        freehold,
        "bound",
        'path "secret/data/app/*" { capabilities = ["deny"] }',
        'path "sys/policies/acl/*" { capabilities = ["create", "update", "delete"] }',
    )
    denial = 'path "secret/data/app/db" { capabilities = ["deny"] }'
    assert ask(freehold, "PUT", "/v1/sys/policies/acl/theirs", {"policy": denial}).ok
    for name, text in [
        ("theirs", denial.replace("deny", "read")),
        ("bound-1", 'path "secret/data/app/db" { capabilities = ["read"] }'),
        ("bound-1", 'path "secret/data/app/+" { capabilities = ["read"] }'),
        ("bound-1", 'path "secret/data/app/{{identity.entity.name}}" { }'),
        ("mine", 'path "secret/data/app/d*" { capabilities = [] }'),
        ("bound-0", 'path "x" { capabilities = ["deny"] }'),
        (
            "bound-0",
            """path "secret/data/app/*" { capabilities = ["deny"]
                       expiration = "2020-01-01T00:00:00Z" }""",
        ),
    ]:
        answer = ask(freehold, "PUT", f"/v1/sys/policies/acl/{name}", {"policy": text}, token=token)
        assert answer.status_code == 403, text
    free = (
        'path "secret/data/*" { capabilities = ["read"] } path "kv/a" { capabilities = ["read"] }'
    )
    answer = ask(freehold, "PUT", "/v1/sys/policies/acl/mine", {"policy": free}, token=token)
    assert answer.status_code == 204, answer.text


def test_capabilities_are_those_of_openbao(pair: Pair) -> None:
    """Random policies and paths, as `sys/capabilities` tells them."""
    compare_capabilities(pair, rounds=12, seed=34)
