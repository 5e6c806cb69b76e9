"""Random rounds: what a round does is a matter of its seed alone.

A round has a few domains, each with a set-up of its own. Names come from small pools, so that calls
meet what others have made.
"""

import random
from collections.abc import Callable
from typing import Any, Final

from tests.acceptance.compat.acl_decisions import random_policy
from tests.acceptance.compat.differential.calls import ROOT, Call, encoded

MERGE: Final = {"Content-Type": "application/merge-patch+json"}
ODD_PATHS: Final = (
    "a b", "ü", "a/", "a.b", "a:b", "A", "a+b", "a@b", "x" * 200, "a,b", "a/b/c/d/e", "a;b", "1",
)  # fmt: skip
PATHS: Final = ("a", "b", "a/b", "a/c", "f/g/h")
SCALARS: Final = (
    None, True, False, 0, 1, -1, 2**53, 1.5, "", "x", "1", "ü", "a\nb", "{}", '"', "\u2028", "</a>",
)  # fmt: skip
NOT_OBJECTS: Final = ([], ["a"], "x", 1, True, "")
DURATIONS: Final = (
    0, 3600, "1h", "3600", "90m", "24h", "0", "0s", "", "x", -1, "-1h", 1.5, True, None, "1d",
    "768h", "9999h", [], {},
)  # fmt: skip
SOUND_DURATIONS: Final = ("1h", 3600, "2h", "7200", "30m", 0)
NUMBERS: Final = (0, 1, 2, 3, 5, "1", "2", -1, 1.5, "x", "", None, True, [], 10**6)
VERSIONS: Final = (
    [1], [1, 2], ["1"], ["2", 3], "1", "1,2", [], None, [99], [0], [-1], ["x"], 1, [1.5], [None],
    [1, 1], "", {}, [True],
)  # fmt: skip
METADATA: Final = (
    {}, {"a": "b"}, {"a": "b", "c": ""}, None, {"a": 1}, {"a": None}, {"a": True}, [], "x",
    {"": "x"}, {"k" * 129: "v"}, {"k": "v" * 513}, {"a": {"b": "c"}}, {"a": ["b"]},
    {str(i): "v" for i in range(65)}, {"ü": "ü"},
)  # fmt: skip
POLICY_TEXTS: Final = (
    'path "secret/*" { capabilities = ["read", "list"] }',
    ('path "{r}kv2/data/a" { capabilities = ["read", "update", "create"] }\n'
    'path "{r}kv2/metadata/*" { capabilities = ["list", "read"] }'),
    'path "{r}kv2/+/a/*" { capabilities = ["create", "read", "update", "patch", "delete"] }',
    '{"path": {"{r}kv1/*": {"capabilities": ["read"]}}}',
    ('path "{r}kv2/data/*" { capabilities = ["create", "update", "read"]\n'
    ' allowed_parameters = { "data" = [] } }'),
    ('path "{r}kv1/*" { capabilities = ["create", "update", "read"]\n'
    ' denied_parameters = { "a" = ["x", "1"] } }'),
    ('path "{r}kv1/*" { capabilities = ["create", "update", "read", "list"]\n'
    ' required_parameters = ["a"] }'),
    'path "{r}kv1/a" { capabilities = ["deny"] }\npath "{r}kv1/*" { capabilities = ["read"] }',
    'path "sys/policies/acl/*" { capabilities = ["read", "list", "update", "delete"] }',
    'path "auth/token/*" { capabilities = ["create", "update", "read", "sudo"] }',
    'path "{r}kv2/*" { policy = "write" }',
    (
        'path "{r}kv1/*" { capabilities = ["read"]\n'
        ' min_wrapping_ttl = "1h"\n max_wrapping_ttl = "2h" }'
    ),
    'path "{r}kv1/*" { policy = "read" }',
    'path "*" { capabilities = ["read", "list"] }',
    "# nothing\n",
    "",
    'path "a" { capabilities = ["fly"] }',
    'path "a" {',
    'path "a" { capabilities = "read" }',
    'name = "x"\npath "a" { capabilities = ["read"] }',
    'path "a" { comment = "x" capabilities = ["read"] }',
    'path "a" { capabilities = ["read"],\n }',
    "{}",
    "[]",
    '{"path": []}',
)  # fmt: skip


class Story:
    """A round in the making."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.calls: list[Call] = []
        self.tokens: list[str] = []
        self.accessors: list[str] = []
        self._number = 0

    def pick(self, choices: Any) -> Any:
        """One of them."""
        return self.chance.choice(choices)

    def often(self, usual: Any, odd: Any, how: float = 0.8) -> Any:
        """Mostly one of the usual ones."""
        return self.pick(usual if self.chance.random() < how else odd)

    def maybe(self, how: float = 0.5) -> bool:
        """Whether."""
        return self.chance.random() < how

    def add(self, method: str, path: str, body: Any = None, **more: Any) -> str:
        """A call; returns the name that its answer goes by."""
        self._number += 1
        name = f"c{self._number}"
        if "token" not in more and self.tokens and self.maybe(0.1):
            more["token"] = self.pick(self.tokens)
        if method == "POST" and self.maybe(0.2):
            method = "PUT"
        if method == "LIST" and self.maybe(0.3):
            method, more["query"] = "GET", {"list": "true", **more.get("query", {})}
        if body is not None and self.maybe(0.01):
            body, more["text"] = (
                None,
                self.pick(('{"a":', "[1]", "x", "null", '"x"', "{} {}", "{}")),
            )
        self.calls.append(Call(method, path, body=body, name=name, **more))
        return name

    def token(self, body: dict[str, Any] | None = None) -> str:
        """Make a token and return the reference to it."""
        name = self.add("POST", "auth/token/create", body or {}, token=ROOT)
        self.tokens.append(f"{{{name}:auth.client_token}}")
        self.accessors.append(f"{{{name}:auth.accessor}}")
        return self.tokens[-1]

    def fields(self, **choices: Any) -> dict[str, Any]:
        """Some of these fields, each with one of its values."""
        return {name: self.pick(some) for name, some in choices.items() if self.maybe(0.35)}

    def value(self, depth: int = 0) -> Any:
        """Any JSON."""
        if depth > 2 or self.maybe(0.6):
            return self.pick(SCALARS)
        if self.maybe(0.3):
            return [self.value(depth + 1) for _ in range(self.chance.randint(0, 3))]
        return self.object(depth + 1)

    def object(self, depth: int = 0) -> dict[str, Any]:
        """An object of a few keys."""
        keys = ("a", "b", "ttl", "data", "c d", "ü", "")
        return {self.pick(keys): self.value(depth + 1) for _ in range(self.chance.randint(0, 3))}


# --- key-value mounts -----------------------------------------------------------------------------


def _kv2_setup(story: Story) -> None:
    story.add("POST", "sys/mounts/{r}kv2", {"type": "kv", "options": {"version": "2"}}, token=ROOT)
    story.token({"policies": ["default"], "ttl": "1h"})


def _kv2(story: Story) -> None:
    path = story.often(PATHS, ODD_PATHS, 0.9)
    at = f"{{r}}kv2/data/{path}"
    story.pick(
        (
            *(3 * [lambda: _kv2_write(story, at)]),
            *(3 * [lambda: story.add("GET", at, query=_version_query(story))]),
            lambda: _kv2_patch(story, at),
            lambda: story.add("DELETE", at),
            lambda: _kv2_versions(story, path),
            lambda: _kv2_versions(story, path),
            lambda: _kv2_metadata(story, path),
            lambda: _kv2_metadata(story, path),
            lambda: story.add("LIST", f"{{r}}kv2/metadata/{_folder(story)}", query=_page(story)),
            lambda: story.add(
                "LIST", f"{{r}}kv2/detailed-metadata/{_folder(story)}", query=_page(story)
            ),
            lambda: story.add("GET", f"{{r}}kv2/subkeys/{path}", query=_subkeys(story)),
            lambda: _kv2_config(story),
            lambda: story.add(
                story.pick(("GET", "POST", "DELETE", "LIST", "PATCH")),
                f"{{r}}kv2/{story.pick(('', 'data', 'data/', 'metadata', 'nothing', 'config/x'))}",
                headers=MERGE,
            ),
        )
    )()


def _folder(story: Story) -> str:
    return str(story.often(("", "a", "a/", "f", "f/g/"), ("none", "a/b/", "ü", "a//")))


def _page(story: Story) -> dict[str, str]:
    if story.maybe(0.6):
        return {}
    found = {}
    if story.maybe():
        found["after"] = story.pick(("", "a", "a/", "b", "z"))
    if story.maybe():
        found["limit"] = story.pick(("0", "1", "2", "-1", "x", "100"))
    return found


def _version_query(story: Story) -> dict[str, str]:
    if story.maybe(0.5):
        return {}
    return {"version": story.often(("1", "2", "3", "0"), ("99", "-1", "x", "", "1.5", "01"))}


def _subkeys(story: Story) -> dict[str, str]:
    found = {} if story.maybe() else {"depth": story.pick(("0", "1", "2", "-1", "x"))}
    return found | _version_query(story)


def _kv2_write(story: Story, at: str) -> None:
    body: dict[str, Any] = {"data": story.object()}
    if story.maybe(0.1):
        body["data"] = story.pick((*NOT_OBJECTS, None))
    if story.maybe(0.05):
        del body["data"]
    if story.maybe(0.4):
        body["options"] = {"cas": story.often((0, 1, 2, 3), NUMBERS)}
    if story.maybe(0.05):
        body["options"] = story.pick(({}, None, [], "x", {"cas": None}, {"x": 1}, {"CAS": 0}))
    if story.maybe(0.05):
        body["more"] = 1
    story.add("POST", at, body)


def _kv2_patch(story: Story, at: str) -> None:
    body: dict[str, Any] = {"data": story.object()}
    if story.maybe(0.3):
        body["options"] = {"cas": story.often((0, 1, 2, 3), NUMBERS)}
    if story.maybe(0.1):
        body = story.pick(({}, {"data": None}, {"data": []}, {"data": "x"}, {"options": {}}))
    headers = story.often(
        (MERGE, {"Content-Type": "application/merge-patch+json; charset=utf-8"}),
        ({}, {"Content-Type": "application/json"}),
        0.9,
    )
    story.add("PATCH", at, body, headers=headers)


def _kv2_versions(story: Story, path: str) -> None:
    what = story.pick(("delete", "undelete", "destroy"))
    body = {"versions": story.often(([1], [2], [1, 2], ["1"]), VERSIONS, 0.6)}
    if story.maybe(0.05):
        body = {}
    story.add("POST", f"{{r}}kv2/{what}/{path}", body)


def _kv2_metadata(story: Story, path: str) -> None:
    at = f"{{r}}kv2/metadata/{path}"
    method = story.pick(("GET", "GET", "POST", "POST", "PATCH", "DELETE"))
    if method in ("GET", "DELETE"):
        story.add(method, at)
        return
    body = story.fields(
        max_versions=(0, 1, 2, 3, 5), cas_required=(True, False), custom_metadata=METADATA[:3],
        delete_version_after=SOUND_DURATIONS,
    )  # fmt: skip
    if story.maybe(0.3):
        body |= story.fields(
            max_versions=NUMBERS, cas_required=(1, "true", "x", None, [], ""),
            custom_metadata=METADATA, delete_version_after=DURATIONS, more=(1,),
        )  # fmt: skip
    if method == "PATCH" and "custom_metadata" not in body and story.maybe():
        body["custom_metadata"] = story.pick(({"a": None}, {"b": "c"}, {"a": "d", "c": None}, None))
    story.add(method, at, body, headers=MERGE if method == "PATCH" else {})


def _kv2_config(story: Story) -> None:
    if story.maybe():
        story.add("GET", "{r}kv2/config")
        return
    body = story.fields(
        max_versions=(0, 1, 2, 3, 5), cas_required=(False, False, True),
        delete_version_after=SOUND_DURATIONS,
    )  # fmt: skip
    if story.maybe(0.3):
        body |= story.fields(
            max_versions=NUMBERS, cas_required=("true", "x", None, 0), more=(1,),
            delete_version_after=DURATIONS,
        )  # fmt: skip
    story.add("POST", "{r}kv2/config", body)


def _kv1_setup(story: Story) -> None:
    story.add("POST", "sys/mounts/{r}kv1", {"type": "kv"}, token=ROOT)
    story.token({"policies": ["default"], "ttl": "1h"})


def _kv1(story: Story) -> None:
    at = f"{{r}}kv1/{story.often(PATHS, (*ODD_PATHS, ''), 0.85)}"
    body = story.object()
    if story.maybe(0.2):
        body |= {story.pick(("ttl", "lease")): story.pick(DURATIONS)}
    story.pick(
        (
            lambda: story.add("POST", at, body),
            lambda: story.add("POST", at, body),
            lambda: story.add("GET", at),
            lambda: story.add("GET", at),
            lambda: story.add("GET", at),
            lambda: story.add("DELETE", at),
            lambda: story.add("LIST", f"{{r}}kv1/{_folder(story)}"),
            lambda: story.add("PATCH", at, body, headers=MERGE),
        )
    )()


# --- mounts ---------------------------------------------------------------------------------------


def _mounts_setup(_story: Story) -> None:
    pass


def _mounts(story: Story) -> None:
    name = story.often(("{r}m1", "{r}m2", "{r}m/x"), ("{r}m1/below", "{r}m"), 0.9)
    body: dict[str, Any] = {
        "type": story.often(("kv", "kv", "kv-v2", "kv-v1"), ("", "none", None, 1))
    }
    body |= story.fields(
        description=("", "x", "ü", None), options=({"version": "2"}, {"version": "1"}, {}, None),
    )  # fmt: skip
    if story.maybe(0.1):
        body |= story.fields(options=({"version": 2}, {"version": "3"}, {"version": ""}, "x"))
    if story.maybe(0.2):
        body["config"] = story.fields(
            default_lease_ttl=("0", "1h", "x"), max_lease_ttl=("0", "2h"),
            force_no_cache=(True, False), listing_visibility=("hidden", "unauth", "x"),
        )  # fmt: skip
    tune = story.fields(description=("", "y", None), listing_visibility=("hidden", "unauth"))
    story.pick(
        (
            lambda: story.add("POST", f"sys/mounts/{name}", body),
            lambda: story.add("POST", f"sys/mounts/{name}", body),
            lambda: story.add("GET", f"sys/mounts/{name}"),
            lambda: story.add("GET", f"sys/mounts/{name}/tune"),
            lambda: story.add("POST", f"sys/mounts/{name}/tune", tune),
            lambda: story.add("GET", "sys/mounts"),
            lambda: story.add("DELETE", f"sys/mounts/{name}"),
            lambda: story.add("GET", f"sys/internal/ui/mounts/{name}/a"),
            lambda: story.add("POST", f"{name}/data/a", {"data": {"a": 1}}),
            lambda: story.add("GET", f"{name}/data/a"),
            lambda: story.add("POST", f"{name}/a", {"a": 1}),
            lambda: story.add("GET", f"{name}/a"),
        )
    )()


def _auth_mounts(story: Story) -> None:
    name = story.often(("{r}a1", "{r}a2", "{r}a/x"), ("{r}a1/below", "{r}a", "token"), 0.95)
    body: dict[str, Any] = {
        "type": story.often(("approle", "userpass", "jwt"), ("", "none", "token", 1))
    }
    body |= story.fields(description=("", "x", "ü", None))
    if story.maybe(0.3):
        body["config"] = _auth_tune(story)
    story.pick(
        (
            lambda: story.add("POST", f"sys/auth/{name}", body),
            lambda: story.add("POST", f"sys/auth/{name}", body),
            lambda: story.add("GET", f"sys/auth/{name}"),
            lambda: story.add("GET", f"sys/auth/{name}/tune"),
            lambda: story.add(
                "POST", f"sys/auth/{name}/tune",
                _auth_tune(story) | story.fields(description=("", "y", None)),
            ),
            lambda: story.add("GET", "sys/auth"),
            lambda: story.add("DELETE", f"sys/auth/{name}"),
            lambda: story.add("GET", f"sys/internal/ui/mounts/auth/{name}"),
            lambda: story.add("LIST", f"auth/{name}/{story.pick(('role', 'users'))}"),
        )
    )()  # fmt: skip


def _auth_tune(story: Story) -> dict[str, Any]:
    return story.fields(
        default_lease_ttl=("0", "1h", 3600, "", "x"), max_lease_ttl=("0", "2h", 7200, "-1h"),
        token_type=("service", "batch", "default-service", "default-batch", "default", "x"),
        listing_visibility=("hidden", "unauth", "", "x"),
    )  # fmt: skip


# --- policies -------------------------------------------------------------------------------------


def _policies_setup(story: Story) -> None:
    for name in ("{r}p1", "{r}p2"):
        story.token({"policies": [name], "no_default_policy": True, "ttl": "1h"})


def _policies(story: Story) -> None:
    name = story.often(("{r}p1", "{r}p2", "{r}p3"), ("{r}P1", "{r}none"), 0.9)
    at = f"{story.pick(('sys/policies/acl', 'sys/policies/acl', 'sys/policy'))}/{name}"
    text = story.pick(POLICY_TEXTS) if story.maybe(0.6) else random_policy(story.chance)
    body: Any = {"policy": encoded(text) if story.maybe(0.1) and "{r}" not in text else text}
    if story.maybe(0.05):
        body = story.pick(({}, {"policy": None}, {"policy": 1}, {"rules": text}, {"policy": []}))
    paths = sorted({_asked_path(story) for _ in range(story.chance.randint(1, 4))})
    asked: dict[str, Any] = {"paths": paths} if story.maybe(0.9) else {"path": paths[0]}
    if story.maybe(0.05):
        asked = story.pick(({}, {"paths": []}, {"paths": None}, {"paths": "a,b"}, {"paths": 1}))
    token = story.often(story.tokens, (ROOT, "none", ""), 0.9) if story.tokens else ROOT
    story.pick(
        (
            lambda: story.add("POST", at, body),
            lambda: story.add("POST", at, body),
            lambda: story.add("GET", at),
            lambda: story.add("DELETE", at),
            lambda: story.add("LIST", story.pick(("sys/policies/acl", "sys/policy"))),
            lambda: story.token(
                {"policies": [story.pick(("{r}p1", "{r}p2", "{r}p3"))], "no_default_policy": True}
            ),
            lambda: story.add("POST", "sys/capabilities-self", asked, token=token),
            lambda: story.add("POST", "sys/capabilities", asked | {"token": token}),
            lambda: story.add(
                "POST", "sys/capabilities-accessor",
                asked | {"accessor": story.pick([*story.accessors, "none"])},
            ),
        )
    )()  # fmt: skip


def _asked_path(story: Story) -> str:
    return str(story.pick((
        "{r}kv2/data/a", "{r}kv2/metadata/", "{r}kv1/a", "{r}kv1/b", "secret/x",
        "sys/policies/acl/x", "auth/token/create", "a/b", "a", "a/", "sys/mounts", "cubbyhole/a",
        "auth/token/lookup-self",
    )))  # fmt: skip


# --- tokens ---------------------------------------------------------------------------------------


def _tokens_setup(story: Story) -> None:
    story.token({"policies": ["default"], "ttl": "1h"})
    story.token()
    story.add("POST", "auth/token/roles/{r}r1", {"allowed_policies": ["default"]})


def _token_body(story: Story) -> dict[str, Any]:
    body = story.fields(
        policies=(["default"], ["{r}p1"], ["root"], [], ["Default", "x"]), ttl=SOUND_DURATIONS,
        num_uses=(0, 1, 2, 3), display_name=("", "x", "a b"), meta=({}, {"a": "b"}),
        renewable=(True, False), no_parent=(True, False), no_default_policy=(True, False),
    )  # fmt: skip
    if story.maybe(0.3):
        body |= story.fields(
            ttl=DURATIONS, explicit_max_ttl=SOUND_DURATIONS, period=("1h", 0, "2h"),
            type=("service", "batch", "x"), num_uses=NUMBERS, meta=METADATA[:9],
            policies=("default", "default,x", None, 1, [1], [""]), more=(1,),
            entity_alias=("", "x"), renewable=("x", 0),
        )  # fmt: skip
    return body


def _tokens(story: Story) -> None:
    body = _token_body(story)
    token = story.often(story.tokens, ("none", "", "s.x"), 0.95)
    accessor = story.often(story.accessors, ("none", ""), 0.95)
    increment = {"increment": story.often(SOUND_DURATIONS, DURATIONS)} if story.maybe() else {}
    by = story.pick([ROOT, ROOT, *story.tokens])
    role = story.often(("{r}r1", "{r}r2"), ("{r}none",), 0.95)
    story.pick(
        (
            lambda: story.token(body),
            lambda: story.token(body),
            lambda: story.token(body),
            lambda: _token_by(story, "auth/token/create", body, by),
            lambda: _token_by(story, "auth/token/create-orphan", body, by),
            lambda: _token_by(story, f"auth/token/create/{role}", body, ROOT),
            lambda: _token_by(story, f"auth/token/create/{role}", body, ROOT),
            lambda: story.add("POST", "auth/token/lookup", {"token": token}),
            lambda: story.add("POST", "auth/token/lookup", {"token": token}),
            lambda: story.add("GET", "auth/token/lookup-self", token=token),
            lambda: story.add("GET", "auth/token/lookup-self", token=token),
            lambda: story.add("POST", "auth/token/lookup-accessor", {"accessor": accessor}),
            lambda: story.add("POST", "auth/token/renew", {"token": token, **increment}),
            lambda: story.add("POST", "auth/token/renew-self", increment, token=token),
            lambda: story.add("POST", "auth/token/renew-accessor", {"accessor": accessor}),
            lambda: story.add("POST", "auth/token/revoke", {"token": token}),
            lambda: story.add("POST", "auth/token/revoke-orphan", {"token": token}),
            lambda: story.add("POST", "auth/token/revoke-accessor", {"accessor": accessor}),
            lambda: story.add("POST", "auth/token/revoke-self", token=token),
            lambda: story.add("LIST", "auth/token/accessors", token=ROOT),
            lambda: story.add("POST", f"auth/token/roles/{role}", _role_body(story)),
            lambda: story.add("POST", f"auth/token/roles/{role}", _role_body(story)),
            lambda: story.add("GET", f"auth/token/roles/{role}"),
            lambda: story.add("DELETE", f"auth/token/roles/{role}"),
            lambda: story.add("LIST", "auth/token/roles"),
            lambda: story.add(
                "POST",
                f"auth/token/{story.pick(('renew', 'lookup', 'revoke', 'renew-accessor'))}",
                story.pick(({}, {"token": ""}, {"token": None}, {"token": 1}, {"accessor": 1})),
            ),
        )
    )()


def _token_by(story: Story, path: str, body: dict[str, Any], by: str) -> None:
    name = story.add("POST", path, body, token=by)
    story.tokens.append(f"{{{name}:auth.client_token}}")
    story.accessors.append(f"{{{name}:auth.accessor}}")


def _role_body(story: Story) -> dict[str, Any]:
    body = story.fields(
        allowed_policies=(["default"], ["default", "{r}p1"], [], "default,x"),
        disallowed_policies=([], ["{r}p1"], ["root"]), orphan=(True, False),
        renewable=(True, False), path_suffix=("", "x"), token_period=(0, "1h"),
        token_explicit_max_ttl=(0, "2h"), token_num_uses=(0, 2), token_type=(
            "service", "batch", "default-service", "default-batch"),
        token_no_default_policy=(True, False), token_bound_cidrs=([], ["127.0.0.1/32"]),
        allowed_policies_glob=([], ["{r}*"]),
    )  # fmt: skip
    if story.maybe(0.2):
        body |= story.fields(
            allowed_policies=(None, 1), orphan=("x", None), token_period=DURATIONS,
            token_num_uses=NUMBERS, token_type=("x", ""), token_bound_cidrs=(["x"], "x"),
            path_suffix=("a b", "/", "x/y"), more=(1,), period=("1h",), explicit_max_ttl=("2h",),
        )  # fmt: skip
    return body


# --- login methods --------------------------------------------------------------------------------


def _userpass_setup(story: Story) -> None:
    story.add("POST", "sys/auth/{r}up", {"type": "userpass"}, token=ROOT)
    story.add("POST", "auth/{r}up/users/ann", {"password": "a long one"}, token=ROOT)


def _token_fields(story: Story) -> dict[str, Any]:
    body = story.fields(
        token_policies=(["default"], ["{r}p1"], [], "a,b"), token_ttl=SOUND_DURATIONS,
        token_max_ttl=(0, "2h", 7200), token_num_uses=(0, 1, 2), token_period=(0, "1h"),
        token_type=("service", "batch", "default", "default-service"),
        token_no_default_policy=(True, False), token_explicit_max_ttl=(0, "3h"),
        token_bound_cidrs=([], ["127.0.0.1"], ["10.0.0.0/8"]),
    )  # fmt: skip
    if story.maybe(0.2):
        body |= story.fields(
            token_policies=(None, 1), token_ttl=DURATIONS, token_max_ttl=DURATIONS,
            token_num_uses=NUMBERS, token_type=("x", ""), token_bound_cidrs=(["x"], "x", ""),
            policies=(["default"],), ttl=("1h",), more=(1,),
        )  # fmt: skip
    return body


def _userpass(story: Story) -> None:
    name = story.often(("ann", "bob"), ("none", "a.b"), 0.9)
    at = f"auth/{{r}}up/users/{name}"
    story.pick(
        (
            lambda: story.add("POST", at, {"password": "a long one"} | _token_fields(story)),
            lambda: story.add("POST", at, _token_fields(story)),
            lambda: story.add("GET", at),
            lambda: story.add("GET", at),
            lambda: story.add("LIST", "auth/{r}up/users"),
            lambda: story.add("DELETE", at),
            lambda: story.add("POST", f"{at}/policies", story.fields(
                token_policies=(["default"], [], "a,b"), policies=(["x"],))),
            lambda: story.add("POST", f"{at}/password", story.pick(
                ({"password": "a long one"}, {}, {"password": ""}))),
            lambda: _login(story, f"auth/{{r}}up/login/{name}", story.often(
                ({"password": "a long one"},), ({"password": "x"}, {}, {"password": None}), 0.9)),
        )
    )()  # fmt: skip


def _login(story: Story, path: str, body: Any) -> None:
    name = story.add("POST", path, body, token="")
    story.tokens.append(f"{{{name}:auth.client_token}}")
    story.accessors.append(f"{{{name}:auth.accessor}}")


def _approle_setup(story: Story) -> None:
    story.add("POST", "sys/auth/{r}ar", {"type": "approle"}, token=ROOT)
    for role in ("one", "two"):
        story.add("POST", f"auth/{{r}}ar/role/{role}", {"token_ttl": "1h"}, token=ROOT)


def _approle(story: Story) -> None:
    role = story.often(("one", "two"), ("three", "none"), 0.9)
    at = f"auth/{{r}}ar/role/{role}"
    field = story.pick((
        "policies", "bound-cidr-list", "secret-id-bound-cidrs", "secret-id-num-uses",
        "secret-id-ttl", "period", "token-bound-cidrs", "token-num-uses", "token-ttl",
        "token-max-ttl",
    ))  # fmt: skip
    secret_ids = [
        (call.name, call.path.split("/")[3]) for call in story.calls
        if call.path.endswith(("/secret-id", "/custom-secret-id"))
        and call.method in ("POST", "PUT")
    ]  # fmt: skip
    held, of_role = story.pick(secret_ids or [("c0", role)])
    secret_id = f"{{{held}:data.secret_id}}"
    by_accessor = {"secret_id_accessor": f"{{{held}:data.secret_id_accessor}}"}
    body = _token_fields(story) | story.fields(
        bind_secret_id=(True, False), secret_id_num_uses=(0, 1, 2), secret_id_ttl=SOUND_DURATIONS,
        secret_id_bound_cidrs=([], ["127.0.0.1/32"], ["10.0.0.0/8"]),
    )  # fmt: skip
    if story.maybe(0.05):
        body |= story.fields(
            role_id=("{r}role", ""), secret_id_ttl=DURATIONS, secret_id_num_uses=NUMBERS
        )
    secret_body = story.fields(
        metadata=('{"a": "b"}', "{}", "", "x", {"a": "b"}), ttl=SOUND_DURATIONS, num_uses=(0, 1, 2),
        cidr_list=([], ["127.0.0.1/32"], "10.0.0.0/8"), token_bound_cidrs=([], ["127.0.0.1/32"]),
    )  # fmt: skip

    def login() -> None:
        reader = story.add("GET", f"auth/{{r}}ar/role/{of_role}/role-id", token=ROOT)
        body = {"role_id": f"{{{reader}:data.role_id}}", "secret_id": secret_id}
        if story.maybe(0.1):
            body = story.pick((
                {}, {"role_id": "x"}, {"role_id": "x", "secret_id": "y"},
                {"role_id": body["role_id"]}, body | {"secret_id": "x"},
            ))  # fmt: skip
        _login(story, "auth/{r}ar/login", body)

    story.pick(
        (
            lambda: story.add("POST", at, body),
            lambda: story.add("GET", at),
            lambda: story.add("GET", at),
            lambda: story.add("LIST", "auth/{r}ar/role"),
            lambda: story.add("DELETE", at) if story.maybe(0.3) else None,
            lambda: story.add("GET", f"{at}/role-id"),
            lambda: story.add("POST", f"{at}/role-id", {"role_id": "{r}" + role}),
            lambda: story.add("POST", f"{at}/secret-id", secret_body),
            lambda: story.add("POST", f"{at}/secret-id", secret_body),
            lambda: story.add("POST", f"{at}/secret-id"),
            lambda: story.add("POST", f"{at}/custom-secret-id",
                              secret_body | {"secret_id": f"{{r}}own{len(story.calls)}"}),
            lambda: story.add("LIST", f"{at}/secret-id"),
            lambda: story.add("POST", f"{at}/secret-id/lookup", {"secret_id": secret_id}),
            lambda: story.add("POST", f"{at}/secret-id/destroy", {"secret_id": secret_id}),
            lambda: story.add("POST", f"{at}/secret-id-accessor/lookup", by_accessor),
            lambda: story.add("POST", f"{at}/secret-id-accessor/destroy", by_accessor),
            lambda: story.add("GET", f"{at}/{field}"),
            lambda: story.add("POST", f"{at}/{field}", {field.replace("-", "_"): story.pick(
                (0, 1, "1h", ["default"], ["127.0.0.1"], "x", True))}),
            lambda: story.add("DELETE", f"{at}/{field}"),
            login,
            login,
            login,
        )
    )()  # fmt: skip


# --- identity -------------------------------------------------------------------------------------


def _identity_setup(story: Story) -> None:
    _userpass_setup(story)
    story.add("GET", "sys/auth/{r}up", token=ROOT)
    for name in ("e1", "e2"):
        story.add("POST", "identity/entity", {"name": "{r}" + name}, token=ROOT)
    story.add("POST", "identity/group", {"name": "{r}g1"}, token=ROOT)


def _identity(story: Story) -> None:
    entities = [f"{{{c.name}:data.id}}" for c in story.calls if c.path == "identity/entity"]
    groups = [f"{{{c.name}:data.id}}" for c in story.calls if c.path == "identity/group"]
    aliases = [f"{{{c.name}:data.id}}" for c in story.calls if c.path == "identity/entity-alias"]
    entity, group = (
        story.pick([*entities, *entities, "none"]),
        story.pick([*groups, *groups, "none"]),
    )
    alias = story.pick([*aliases, *aliases, "none"])
    name = "{r}" + story.pick(("e1", "e2", "e3"))
    group_name = "{r}" + story.pick(("g1", "g2"))
    mount = next(c.name for c in story.calls if c.path == "sys/auth/{r}up" and c.method == "GET")
    accessor = story.often((f"{{{mount}:data.accessor}}",), ("none",), 0.95)
    about = story.fields(
        metadata=({}, {"a": "b"}, {"c": "d"}, None), policies=(["default"], [], "a,b", ["{r}p1"]),
        disabled=(False,),
    )  # fmt: skip
    if story.maybe(0.05):
        about |= story.fields(metadata=METADATA[:9], policies=(None, 1), disabled=("x",), more=(1,))
    about_group = {key: value for key, value in about.items() if key != "disabled"} | story.fields(
        member_entity_ids=([], [entity], entities[:2]), member_group_ids=([], [group]),
        type=("internal", "external", "x"),
    )  # fmt: skip
    story.pick(
        (
            lambda: story.add("POST", "identity/entity", {"name": name, **about}),
            lambda: story.add("POST", f"identity/entity/id/{entity}",
                              about | story.fields(name=(name,))),
            lambda: story.add("POST", f"identity/entity/name/{name}", about),
            lambda: story.add("GET", f"identity/entity/id/{entity}"),
            lambda: story.add("GET", f"identity/entity/id/{entity}"),
            lambda: story.add("GET", f"identity/entity/name/{name}"),
            lambda: story.add("LIST", f"identity/entity/{story.pick(('id', 'name'))}"),
            lambda: story.add("DELETE", story.pick((
                f"identity/entity/id/{entity}", f"identity/entity/name/{name}"))),
            lambda: story.add("POST", "identity/entity-alias", {
                "name": story.pick(("ann", "bob", "cid")), "mount_accessor": accessor,
                **story.fields(canonical_id=(entity,), custom_metadata=({}, {"a": "b"}))}),
            lambda: story.add("POST", "identity/entity-alias", {
                "name": story.pick(("ann", "bob", "cid")), "mount_accessor": accessor,
                "canonical_id": entity}),
            lambda: story.add("GET", f"identity/entity-alias/id/{alias}"),
            lambda: story.add("LIST", "identity/entity-alias/id"),
            lambda: story.add("DELETE", f"identity/entity-alias/id/{alias}"),
            lambda: story.add("POST", "identity/group", {"name": group_name, **about_group}),
            lambda: story.add("POST", f"identity/group/id/{group}", about_group),
            lambda: story.add("POST", f"identity/group/name/{group_name}", about_group),
            lambda: story.add("GET", f"identity/group/id/{group}"),
            lambda: story.add("GET", f"identity/group/name/{group_name}"),
            lambda: story.add("LIST", f"identity/group/{story.pick(('id', 'name'))}"),
            lambda: story.add("DELETE", f"identity/group/id/{group}"),
            lambda: story.add("POST", "identity/lookup/entity", story.pick((
                {"id": entity}, {"name": name}, {"alias_id": alias},
                {"alias_name": "ann", "alias_mount_accessor": accessor}, {},
                {"alias_name": "ann"}))),
            lambda: story.add("POST", "identity/lookup/group", story.pick((
                {"id": group}, {"name": group_name}, {}))),
            lambda: _login(story, "auth/{r}up/login/ann", {"password": "a long one"}),
            lambda: story.add("GET", "auth/token/lookup-self",
                              token=story.pick(story.tokens or [ROOT])),
        )
    )()  # fmt: skip


# --- wrapping and cubbyhole -----------------------------------------------------------------------


def _wrapping_setup(story: Story) -> None:
    _kv1_setup(story)
    story.add("POST", "{r}kv1/a", {"a": 1, "b": [None]}, token=ROOT)


def _wrapping(story: Story) -> None:
    wraps = [
        f"{{{c.name}:wrap_info.token}}" for c in story.calls if "X-Vault-Wrap-TTL" in c.headers
    ]
    wrap = story.often(wraps or ["none"], ("none", "", *story.tokens), 0.95)
    ttl = {
        "X-Vault-Wrap-TTL": story.often(("1h", "3600", "60m"), ("x", "", "-1", "0", "9999h"), 0.9)
    }
    way = {"body": {"token": wrap}} if story.maybe() else {"body": None, "token": wrap}
    hole = f"cubbyhole/{story.often(('a', 'b', 'a/b', 'f/g'), ('', 'a b', 'a/', 'ü'), 0.9)}"
    by = story.often([*story.tokens, ROOT], ("none", ""), 0.97)
    story.pick(
        (
            lambda: story.add("POST", "sys/wrapping/wrap", story.object(), headers=ttl),
            lambda: story.add("GET", "{r}kv1/a", headers=ttl),
            lambda: story.add("GET", "auth/token/lookup-self", headers=ttl),
            lambda: story.add("POST", "auth/token/create", {"ttl": "1h"}, headers=ttl),
            lambda: story.add("POST", "sys/wrapping/unwrap", **way),
            lambda: story.add("POST", "sys/wrapping/unwrap", **way),
            lambda: story.add("POST", "sys/wrapping/rewrap", {"token": wrap}, token=ROOT),
            lambda: story.add("POST", "sys/wrapping/lookup", {"token": wrap}),
            lambda: story.add("GET", "sys/wrapping/lookup", token=wrap),
            lambda: story.add("POST", hole, story.object(), token=by),
            lambda: story.add("POST", hole, story.object(), token=by),
            lambda: story.add("GET", hole, token=by),
            lambda: story.add("GET", hole, token=by),
            lambda: story.add("DELETE", hole, token=by),
            lambda: story.add(
                "LIST", story.pick(("cubbyhole", "cubbyhole/", "cubbyhole/a")), token=by
            ),
        )
    )()


DOMAINS: Final[dict[str, tuple[Callable[[Story], None], Callable[[Story], None]]]] = {
    "kv2": (_kv2_setup, _kv2),
    "kv1": (_kv1_setup, _kv1),
    "mounts": (_mounts_setup, _mounts),
    "auth mounts": (_mounts_setup, _auth_mounts),
    "policies": (_policies_setup, _policies),
    "tokens": (_tokens_setup, _tokens),
    "userpass": (_userpass_setup, _userpass),
    "approle": (_approle_setup, _approle),
    "identity": (_identity_setup, _identity),
    "wrapping": (_wrapping_setup, _wrapping),
}
"""By name: what a round begins with, and what adds a call or two."""


def random_round(seed: int, length: int, domains: tuple[str, ...] = ()) -> list[Call]:
    """Some `length` calls of one to three domains."""
    chance = random.Random(seed)  # noqa: S311  # repeatable
    story = Story(chance)
    chosen = list(domains) or chance.sample(list(DOMAINS), chance.choice((1, 1, 2, 3)))
    for name in chosen:
        DOMAINS[name][0](story)
    while len(story.calls) < length:
        DOMAINS[chance.choice(chosen)][1](story)
    return story.calls
