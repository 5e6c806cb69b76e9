"""What the fuzzer found that was mended: each as short as the fuzzer made it, and sent again."""

from typing import Any, Final

from tests.acceptance.compat.differential.calls import Call
from tests.acceptance.compat.differential.generate import MERGE


def _mount(kind: str, name: str, **more: Any) -> Call:
    return Call("POST", f"sys/{kind}/{{r}}{name}", body=more)


KV2: Final = _mount("mounts", "kv2", type="kv", options={"version": "2"})
WRITE: Final = Call("POST", "{r}kv2/data/a", body={"data": {"a": 1}})
MAKER: Final = [
    Call(
        "POST", "sys/policies/acl/{r}maker",
        body={"policy": 'path "auth/token/create/*" { capabilities = ["create", "update"] }'},
    ),
    Call("POST", "auth/token/create", body={"policies": ["{r}maker"], "ttl": "1h"}, name="maker"),
    Call("POST", "auth/token/roles/{r}r", body={"allowed_policies": ["default"]}),
]  # fmt: skip
BY_MAKER: Final = "{maker:auth.client_token}"
APPROLE: Final = [
    _mount("auth", "ar", type="approle"),
    Call("POST", "auth/{r}ar/role/one", body={}),
]


def _by_role(**body: Any) -> Call:
    return Call("POST", "auth/token/create/{r}r", body=body, token=BY_MAKER)


FOUND: Final[dict[str, list[Call]]] = {
    "a null check-and-set overwrote": [
        KV2, WRITE, Call("POST", "{r}kv2/data/a", body={"data": {}, "options": {"cas": None}}),
    ],
    "an empty number was refused": [
        KV2, WRITE, Call("GET", "{r}kv2/data/a", query={"version": ""}),
        Call("POST", "{r}kv2/delete/a", body={"versions": [""]}),
    ],
    "versions of a folder were deleted": [
        KV2, *(Call("POST", f"{{r}}kv2/{what}/a/", body={"versions": [1]})
               for what in ("delete", "undelete", "destroy")),
    ],
    "empty objects had keys": [
        KV2, Call("POST", "{r}kv2/data/a", body={"data": {"a": {}, "b": {"c": {"d": 1}}}}),
        *(Call("GET", "{r}kv2/subkeys/a", query={"depth": depth}) for depth in ("0", "2", "-1")),
    ],
    "a null has no keys": [
        KV2, Call("POST", "{r}kv2/data/a", body={"data": None}), Call("GET", "{r}kv2/subkeys/a"),
    ],
    "an empty value was custom metadata": [
        KV2,
        *(Call(method, "{r}kv2/metadata/a", body={"custom_metadata": {"a": value}}, headers=kind)
          for method, kind in (("POST", {}), ("PATCH", MERGE)) for value in ("b", "")),
    ],
    "a null left custom metadata": [
        KV2, Call("POST", "{r}kv2/metadata/a", body={"custom_metadata": {"a": "b"}}),
        Call("POST", "{r}kv2/metadata/a", body={"custom_metadata": None}),
        Call("GET", "{r}kv2/metadata/a"),
    ],
    "an undeleted version never ended": [
        KV2, Call("POST", "{r}kv2/config", body={"delete_version_after": "2h"}), WRITE,
        Call("DELETE", "{r}kv2/data/a"),
        Call("POST", "{r}kv2/undelete/a", body={"versions": [1]}), Call("GET", "{r}kv2/data/a"),
    ],
    "options won over the type of a mount": [
        _mount("mounts", "m", type="kv-v2", options={"version": "1"}),
        Call("GET", "sys/mounts/{r}m"),
    ],
    "a negative time was shown as it was given": [
        KV2, Call("POST", "{r}kv2/config", body={"delete_version_after": "-1h"}),
        Call("GET", "{r}kv2/config"),
    ],
    "an empty list suggested the command of a read": [KV2, Call("LIST", "{r}kv2/nothing")],
    "the default policy was given though it was not wanted": [
        Call("POST", "auth/token/create", name="bare",
             body={"policies": ["default"], "no_default_policy": True, "ttl": "1h"}),
        Call("GET", "auth/token/lookup-self", token="{bare:auth.client_token}"),
    ],
    "a role without the default policy took away what it lists": [
        Call("POST", "auth/token/roles/{r}r",
             body={"allowed_policies": ["default"], "token_no_default_policy": True}),
        Call("POST", "auth/token/create/{r}r", body={"ttl": "1h"}, name="by"),
        Call("GET", "auth/token/lookup-self", token="{by:auth.client_token}"),
        Call("POST", "auth/token/create/{r}r", body={"no_default_policy": True}, name="none"),
        Call("GET", "auth/token/lookup-self", token="{none:auth.client_token}"),
    ],
    "an orphan by a role that makes none": [*MAKER, _by_role(no_parent=True)],
    "a periodic token by a role without sudo": [*MAKER, _by_role(period="1h")],
    "the role's period won, be it longer": [
        Call("POST", "auth/token/roles/{r}r", body={"token_period": "2h"}),
        Call("POST", "auth/token/create/{r}r", body={"period": "1h", "policies": ["default"]}),
    ],
    "root that ends made root that does not": [
        Call("POST", "auth/token/create", body={"ttl": "1h"}, name="hourly"),
        Call("POST", "auth/token/create", body={"no_parent": True},
             token="{hourly:auth.client_token}"),
    ],
    "a renewal was cut by a moment, and said so": [
        Call("POST", "auth/token/create", body={"policies": ["default"]}, name="long"),
        Call("POST", "auth/token/renew-self", body={}, token="{long:auth.client_token}"),
    ],
    "nobody could log in at a mount of batch tokens by a role with a longest life": [
        _mount("auth", "up", type="userpass", config={"token_type": "batch"}),
        *(
            call
            for name, field in (("ann", "token_explicit_max_ttl"), ("bob", "token_period"))
            for call in (
                Call("POST", f"auth/{{r}}up/users/{name}",
                     body={"password": "a long one", "token_ttl": "10m", field: "5m"}),
                Call("POST", f"auth/{{r}}up/login/{name}", body={"password": "a long one"},
                     token="", name=name),
                Call("GET", "auth/token/lookup-self", token=f"{{{name}:auth.client_token}}"),
            )
        ),
    ],
    "policies that were not given were taken away": [
        _mount("auth", "up", type="userpass"),
        Call("POST", "auth/{r}up/users/ann",
             body={"password": "a long one", "token_policies": ["default"]}),
        Call("POST", "auth/{r}up/users/ann/policies", body={}),
        Call("GET", "auth/{r}up/users/ann"),
    ],
    "a secret-id of one's own was made by chance": [
        *APPROLE, Call("POST", "auth/{r}ar/role/one/custom-secret-id", body={}),
    ],
    "a secret-id took no duration": [
        *APPROLE,
        Call("POST", "auth/{r}ar/role/one/secret-id", body={"ttl": "1h", "num_uses": "2"}),
    ],
}  # fmt: skip
"""By what was wrong."""
