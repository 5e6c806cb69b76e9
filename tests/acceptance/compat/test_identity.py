"""`identity/`: OpenBao and Freehold are asked the same, and answer the same, field by field.

What differs by intent is in docs/reference/vault-api.md and not asked here. Ids and times are
replaced by the name under which the story keeps them.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from tests.acceptance.compat import acl_decisions
from tests.acceptance.compat.servers import Server

T = TypeVar("T")
Both = tuple[Server, Server]

ENTITY: Final = "POST", "identity/entity"
ALIAS: Final = "POST", "identity/entity-alias"
GROUP: Final = "POST", "identity/group"
GROUP_ALIAS: Final = "POST", "identity/group-alias"
UP: Final = {"mount_accessor": "{up}"}
OTHER: Final = {"mount_accessor": "{other}"}
STORY: Final[list[tuple[str, str, str, Any]]] = [
    # the name to keep the id under, verb, path, body
    ("ann", *ENTITY, {"name": "ann", "policies": ["b", "A"], "metadata": {"k": "v"}}),
    ("", *ENTITY, {"name": "ANN", "policies": "c"}),
    ("", *ENTITY, {"id": "{ann}", "metadata": ["x=y"]}),
    ("", "GET", "identity/entity/id/{ann}", None),
    ("", "GET", "identity/entity/name/Ann", None),
    ("", *ENTITY, {"id": "nobody", "name": "x"}),
    ("", *ENTITY, {"name": "r", "policies": ["root"]}),
    ("", *ENTITY, {"name": "r", "policies": [" ROOT "]}),
    ("bob", "POST", "identity/entity/name/bob", {"disabled": True}),
    ("", "POST", "identity/entity/id/{ann}", {"name": "bob"}),
    ("", "GET", "identity/entity/id/nobody", None),
    ("", "DELETE", "identity/entity/id/nobody", None),
    ("", *ENTITY, {"metadata": "x"}),
    ("", "LIST", "identity/entity/id", None),
    ("", "LIST", "identity/entity/name", None),
    (
        "at_up",
        *ALIAS,
        {"name": "ann", "canonical_id": "{ann}", "custom_metadata": {"a": "b"}, **UP},
    ),
    ("", *ALIAS, {"name": "ann2", "canonical_id": "{ann}", **UP}),
    ("", *ALIAS, {"name": "ann", "canonical_id": "{ann}", "mount_accessor": "none"}),
    ("", *ALIAS, {"canonical_id": "{ann}", **UP}),
    ("", *ALIAS, {"name": "x", "canonical_id": "nobody", **UP}),
    ("", "GET", "identity/entity-alias/id/{at_up}", None),
    ("", "GET", "identity/entity-alias/id/none", None),
    ("", "POST", "identity/entity-alias/id/none", {"name": "x", "canonical_id": "{ann}", **UP}),
    ("", "GET", "identity/entity/id/{ann}", None),
    ("", "POST", "identity/lookup/entity", {"alias_name": "ann", "alias_mount_accessor": "{up}"}),
    ("", "POST", "identity/lookup/entity", {"alias_id": "{at_up}"}),
    ("", "POST", "identity/lookup/entity", {"alias_name": "ann"}),
    ("", "POST", "identity/lookup/entity", {"id": "a", "name": "b"}),
    ("", "POST", "identity/lookup/entity", {"id": "nobody"}),
    ("", "POST", "identity/lookup/entity", {}),
    ("", "LIST", "identity/entity-alias/id", None),
    ("old", "POST", "identity/alias", {"name": "old", "canonical_id": "{bob}", **OTHER}),
    ("", "POST", "identity/entity-alias/id/{old}", {"name": "new", "canonical_id": "{ann}"}),
    ("", "GET", "identity/entity/id/{bob}", None),
    ("devs", *GROUP, {"name": "devs", "policies": "d", "member_entity_ids": ["{ann}"]}),
    ("", *GROUP, {"name": "DEVS", "metadata": {"k": "v"}}),
    ("all", *GROUP, {"name": "all", "member_group_ids": ["{devs}"]}),
    ("", "POST", "identity/group/id/{devs}", {"member_group_ids": ["{all}"]}),
    ("", *GROUP, {"id": "none", "name": "x"}),
    ("", *GROUP, {"name": "x", "policies": ["root"]}),
    ("", *GROUP, {"name": "x", "type": "odd"}),
    ("", "POST", "identity/group/id/{devs}", {"type": "external"}),
    ("", "GET", "identity/group/id/{devs}", None),
    ("", "GET", "identity/group/name/ALL", None),
    ("", "GET", "identity/entity/id/{ann}", None),
    ("", "POST", "identity/lookup/group", {"name": "devs"}),
    ("", "POST", "identity/lookup/group", {"id": "none"}),
    ("outer", *GROUP, {"name": "outer", "type": "external"}),
    ("", *GROUP, {"name": "x", "type": "external", "member_entity_ids": ["{ann}"]}),
    ("named", *GROUP_ALIAS, {"name": "cn=x", "canonical_id": "{outer}", **UP}),
    ("", *GROUP_ALIAS, {"name": "cn=x", "canonical_id": "{outer}", **UP}),
    ("", *GROUP_ALIAS, {"name": "cn=y", "canonical_id": "{devs}", **UP}),
    ("", *GROUP_ALIAS, {"name": "cn=y", "canonical_id": "none", **UP}),
    ("", *GROUP_ALIAS, {"name": "y", "canonical_id": "{outer}", "mount_accessor": "none"}),
    ("", "GET", "identity/group-alias/id/{named}", None),
    ("", "GET", "identity/group/id/{outer}", None),
    ("", "LIST", "identity/group/id", None),
    ("", "LIST", "identity/group/name", None),
    ("", "LIST", "identity/group-alias/id", None),
    ("", "DELETE", "identity/group-alias/id/{named}", None),
    ("", "GET", "identity/group-alias/id/{named}", None),
    ("cyd", *ENTITY, {"name": "cyd", "policies": "z"}),
    ("cyd_alias", *ALIAS, {"name": "cyd", "canonical_id": "{cyd}", **UP}),
    ("", "POST", "identity/entity/merge", {"from_entity_ids": "{cyd}", "to_entity_id": "{cyd}"}),
    ("", "POST", "identity/entity/merge", {"from_entity_ids": "none", "to_entity_id": "{ann}"}),
    ("", "POST", "identity/entity/merge", {"from_entity_ids": "{cyd}", "to_entity_id": "none"}),
    ("", "POST", "identity/entity/merge", {"from_entity_ids": "{cyd}"}),
    ("", "POST", "identity/entity/merge", {"to_entity_id": "{cyd}"}),
    ("", "POST", "identity/entity/merge", {"from_entity_ids": "{bob}", "to_entity_id": "{ann}"}),
    ("", "GET", "identity/entity/id/{ann}", None),
    ("", "GET", "identity/entity/id/{bob}", None),
    ("", "DELETE", "identity/group/id/{all}", None),
    ("", "GET", "identity/entity/id/{ann}", None),
    ("", "POST", "identity/entity/batch-delete", {"entity_ids": ["{cyd}", "none"]}),
    ("", "POST", "identity/entity/batch-delete", {}),
    ("", "DELETE", "identity/entity/name/ann", None),
    ("", "GET", "identity/none", None),
]
TIMES: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


def ask(
    server: Server, method: str, path: str, body: Any = None, *, token: str = ""
) -> tuple[int, Any]:
    """The status and what was answered; each on a connection of its own."""
    answer = acl_decisions.ask(server, method, path, body, token=token)
    return answer.status_code, answer.json() if answer.content else None


def tell(server: Server) -> list[tuple[str, int, Any]]:
    """The answers to the story, by what was asked."""
    kept: dict[str, str] = {}
    for name in ("up", "other"):
        ask(server, "POST", f"/v1/sys/auth/identity-{name}", {"type": "userpass"})
    mounts = ask(server, "GET", "/v1/sys/auth", None)[1]["data"]
    for name in ("up", "other"):
        kept[name] = mounts[f"identity-{name}/"]["accessor"]
    answers: list[tuple[str, int, Any]] = []
    for keep, verb, path, body in STORY:
        asked = json.dumps([verb, path, body])
        sent = json.loads(_filled(json.dumps(body), kept))
        status, answer = ask(server, verb, f"/v1/{_filled(path, kept)}", sent)
        told = answer.get("errors", answer.get("data")) if isinstance(answer, dict) else answer
        if keep:
            kept[keep] = told["id"]
        answers.append((asked, status, _normal(told, kept)))
    return answers


def _filled(text: str, kept: dict[str, str]) -> str:
    for name, value in kept.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _normal(told: Any, kept: dict[str, str]) -> Any:
    """With names for ids; the order of a list of all there is says nothing."""
    text = TIMES.sub("TIME", json.dumps(told, sort_keys=True))
    for name, value in kept.items():
        text = text.replace(value, name)
    text = text.replace('"custom_metadata": {}', '"custom_metadata": null')  # as OpenBao: either
    found = json.loads(text)
    if isinstance(found, dict):
        found |= {"keys": sorted(found["keys"])} if "keys" in found else {}
        if found.get("aliases"):
            found["aliases"].sort(key=lambda alias: alias["id"])
    return found


def test_openbao_and_freehold_answer_the_same(
    both: Both, once: Callable[[str, Callable[[], T]], T]
) -> None:
    """Statuses, fields and the words of errors."""
    openbao, freehold = both
    expected = once("identity", lambda: tell(openbao))
    for here, there in zip(tell(freehold), expected, strict=True):
        assert here == there


def test_a_disabled_entity_is_refused_by_every_worker(both: Both) -> None:
    """With the very next request, on whichever connection; a login is refused as well."""
    _, freehold = both
    ask(freehold, "POST", "/v1/sys/auth/identity-people", {"type": "userpass"})
    at = "/v1/auth/identity-people"
    ask(freehold, "POST", f"{at}/users/dan", {"password": "a long one"})
    login = ask(freehold, "POST", f"{at}/login/dan", {"password": "a long one"})[1]["auth"]
    token, entity = login["client_token"], login["entity_id"]
    for _ in range(8):
        assert ask(freehold, "GET", "/v1/auth/token/lookup-self", None, token=token)[0] == 200
    ask(freehold, "POST", f"/v1/identity/entity/id/{entity}", {"disabled": True})
    for _ in range(8):
        assert ask(freehold, "GET", "/v1/auth/token/lookup-self", None, token=token)[0] == 403
    assert ask(freehold, "POST", f"{at}/login/dan", {"password": "a long one"})[0] == 403
