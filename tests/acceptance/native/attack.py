"""What an attacker can send to an agent: its declared operations, and a body for each.

Known by hand is only what the document cannot say: what is right but for what is planted.
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, NamedTuple

from tests.acceptance.agent import Agent, Answer
from tests.acceptance.declared import JSON, Leaf, Operation, declared, hostile, planted
from tests.acceptance.link.estate import until

HELD = "secret/held"
LATER = "2099-01-01T00:00:00Z"
WINDOW = {"type": "time_window", "days": ["mon"], "from": "08:00", "to": "18:00", "tz": "UTC"}
CONDITIONS: dict[str, Any] = {
    **dict.fromkeys(("days", "from", "to", "tz"), WINDOW),
    "networks": {"type": "source_network", "networks": ["10.0.0.0/8"]},
    **{name: {"type": "tags", name: ["t"]} for name in ("any", "all", "none")},
    "max_age": {"type": "mfa_present", "max_age": "1h"},
    "key": {"type": "metadata", "key": "k", "equals": "v"},
    "equals": {"type": "metadata", "key": "k", "equals": "v"},
    "in": {"type": "metadata", "key": "k", "in": ["v"]},
}
RULE = {"effect": "allow", "paths": ["secret/x"], "capabilities": ["read"]}
SAID = {"metadata": {"k": "v"}, "tags": ["t"], "expires_at": LATER}
BODIES: dict[str, Any] = {
    "secrets_create": {"name": "secret/new", "value": {"k": "v"}, **SAID},
    "secrets_update": {"value": {"k": "v"}, **SAID},
    "secrets_write_metadata": {**SAID, "delete_version_after": "0s"},
    "rotations_write_policy": {"rotator": "generated", "grace": "1h"},
    "dynamic_write_connection": {
        "kind": "redis",
        "value": {"k": "v"},
        "allowed_roles": ["app"],
        "verify": False,
    },
    "dynamic_write_role": {"connection": "held", "config": {"rules": ["+ping"]}},
    "dynamic_create_credentials": {"ttl": "1h"},
    "dynamic_renew_lease": {"increment": "1h"},
    "dynamic_revoke_leases": {"prefix": "database/creds/none"},
    "rotations_run": {"prefix": "secret/held/", "tags": ["t"], "since": LATER},
    "batch_read": {"names": [HELD]},
    "batch_write": {"secrets": [{"name": "secret/new", "value": {"k": "v"}, **SAID}]},
    "changes_acknowledge": {"path": HELD, "version": 1},
    "policies_write": {"rules": [RULE]},
    "policies_validate": {"rules": [RULE]},
    "policies_explain": {"ticket": "fdt_none"},
    "policies_grant": {"ticket": "fdt_none", "duration": "1h"},
    "policies_convert": {"rules": [RULE]},
    "mounts_move": {"source": "held", "target": "moved"},
    "wrapping_unwrap": {"token": "s.none"},
    "wrapping_rewrap": {"token": "s.none"},
    "wrapping_look_up": {"token": "s.none"},
    "policies_dry_run": {"path": HELD, "capability": "read", "user": "held"},
    "replays_replay": {"write": [{"name": "tried", "rules": [RULE]}]},
    "users_create": {"username": "new"},
    "users_update": {"email": "new@corp.example"},
    "entities_create": {"name": "new", "metadata": {"k": "v"}},
    "entities_update": {"metadata": {"k": "v"}},
    "entities_merge": {"id": "none", "merge": ["none"], "keep": ["none"]},
    "entities_write_alias": {
        "name": "new",
        "mount_accessor": "auth_token",
        "custom_metadata": {"k": "v"},
    },
    "groups_create": {"name": "new", "metadata": {"k": "v"}},
    "groups_update": {"metadata": {"k": "v"}},
    "groups_change_members": {"add": ["none"]},
    "groups_write_alias": {"name": "new", "mount_accessor": "auth_token", "group_id": "none"},
    "roles_write": {"policies": ["default"]},
    "keys_create": {"user": "held", "name": "laptop", "expires_at": LATER},
    "tokens_create": {"policies": ["default"], "ttl": "1h"},
    "tokens_renew_self": {"increment": "1h"},
    "tokens_lookup": {"token": "s.none"},
    "tokens_revoke_text": {"token": "s.none"},
    "tokens_renew": {"increment": "1h"},
    "jwt_revoke": {"issuer": "ci", "token_id": "job-1"},
    "auth_enable": {"type": "approle", "description": "x"},
    "auth_tune": {"description": "x", "token_type": "service"},
    "auth_move": {"source": "held", "target": "moved"},
    "auth_act": {"mount": "held", "action": "role-id", "name": "held"},
    "mfa_finish_login": {"mfa_request_id": "none", "passcode": "1", "codes": {"totp": "1"}},
    "mfa_begin_login_passkey": {"mfa_request_id": "none"},
    "mfa_verify": {"passcode": "1"},
    "mfa_begin_totp": {"name": "phone"},
    "mfa_confirm_totp": {"passcode": "1"},
    "mfa_register_passkey": {"credential": {}, "name": "key"},
    "mfa_remove": {"factor": "totp", "passcode": "1"},
    "mfa_renew_recovery_codes": {"passcode": "1"},
    "mfa_write_enforcement": {"types": ["approle"]},
    "audit_hash": {"value": "x"},
    "backups_create": {"destinations": ["local"]},
    "backups_restore": {"names": [HELD], "destination": "local"},
    "system_migrate_seal": {"key": "00", "nonce": "n"},
    "break_glass_open_vault": {"share": "fhbg-", "code": "x"},
    "system_make_mount": {"description": "x"},
    "system_change_mount": {"description": "x", "delete_version_after": "0s"},
}
"""By operation: what is right, of those whose bodies hold texts."""
NAMES = {
    "secrets_create name",
    "changes_acknowledge path",
    "batch_read names.[]",
    "batch_write secrets.[].name",
}
"""Texts that are names of secrets, which begin with their mount."""
TRIED = ("policies_validate", "policies_dry_run", "policies_explain", "replays_replay",
         "policies_grant", "policies_convert", "mounts_move", "wrapping_unwrap", "wrapping_rewrap",
         "wrapping_look_up",
         "batch_read", "audit_hash", "changes_acknowledge", "tokens_revoke_text", "backups_create",
         "backups_restore", "system_migrate_seal", "break_glass_open_vault", "rotations_run",
         "dynamic_revoke_leases", "auth_act", "auth_move")  # fmt: skip
"""Operations that keep nothing of what they are sent."""
FREE = {
    *(
        f"{place}.*{key}"
        for place in (
            "entities_create metadata", "entities_update metadata", "groups_create metadata",
            "entities_write_alias custom_metadata", "groups_update metadata",
        )
        for key in ("", " key")
    ),
    "entities_write_alias name",
    "batch_write secrets.[].metadata.*", "batch_write secrets.[].metadata.* key",
    "batch_write secrets.[].name", "batch_write secrets.[].tags.[]",
    "batch_write secrets.[].value", "keys_create name",
    "keys_create permissions.[].paths.[]", "policies_write description",
    "policies_write rules.[].paths.[]", "roles_write description",
    "rotations_write_policy notify.channels.[]",
    "dynamic_write_connection value.*", "dynamic_write_connection value.* key",
    "secrets_create metadata.*", "secrets_create metadata.* key", "secrets_create name",
    "secrets_create tags.[]", "secrets_create value", "secrets_update metadata.*",
    "secrets_update metadata.* key", "secrets_update tags.[]", "secrets_update value",
    "secrets_write_metadata metadata.*", "secrets_write_metadata metadata.* key",
    "secrets_write_metadata tags.[]", "system_change_mount description",
    "auth_enable description", "auth_tune description",
    "system_make_mount description", "tokens_create display_name", "tokens_create metadata.*",
    "tokens_create metadata.* key",
    *(
        f"policies_write {where}conditions.[].{what}"
        for where in ("", "rules.[].")
        for what in ("all.[]", "any.[]", "none.[]", "equals", "in.[]", "key")
    ),
}  # fmt: skip
"""Texts that are kept and may be anything, so that every page that shows them has to know."""


class Planted(NamedTuple):
    """A text that was sent in, where it can be seen again, and what came of it."""

    operation: Operation
    leaf: Leaf
    text: str
    seen_at: str
    answer: Answer
    is_key: bool = False

    @property
    def place(self) -> str:
        """As one word."""
        return f"{self.operation.id} {'.'.join(self.leaf)}{' key' if self.is_key else ''}"

    @property
    def taken(self) -> bool:
        """Whether it is kept now."""
        good = self.answer.status in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT)
        return good and self.operation.id not in TRIED


def operations(agent: Agent) -> list[Operation]:
    """Every one that is served."""
    return declared(agent.call("GET", "/api/v1/openapi.json", token="").json)


def plant(agent: Agent) -> list[Planted]:
    """Send one in as every text of every operation, each into a thing of its own."""
    known = {operation.id: operation for operation in operations(agent)}
    done: list[Planted] = []
    for operation, leaf, is_key in _places(known):
        text = hostile(len(done))
        place = " ".join((operation.id, ".".join(leaf)))
        sent = f"{HELD}/{text}" if place in NAMES else text
        path, seen_at = _thing(agent, operation.id, len(done), sent)
        body = _body(operation.id, leaf, len(done))
        body = planted(body, leaf[:-1], {text: "v"}) if is_key else planted(body, leaf, sent)
        headers = {"Content-Type": JSON, "Idempotency-Key": f"attack-{len(done)}"}
        answer = agent.call(operation.method, f"/api/v1/{path}", body, headers=headers)
        if answer.status == HTTPStatus.CREATED and operation.id in _MADE:
            seen_at = f"/{_MADE[operation.id]}/{answer.json['id']}"
        if operation.id == "entities_write_alias" and answer.status == HTTPStatus.OK:
            seen_at = f"/aliases/{answer.json['id']}"
        done.append(Planted(operation, leaf, text, seen_at, answer, is_key))
    return done


_MADE = {"users_create": "users", "entities_create": "entities", "groups_create": "groups"}
"""What is made under an id that is told."""


def _places(known: dict[str, Operation]) -> Iterator[tuple[Operation, Leaf, bool]]:
    for id_ in BODIES:
        for leaf in known[id_].texts:
            yield known[id_], leaf, False
            if leaf[-1] == "*":
                yield known[id_], leaf, True


def _body(id_: str, leaf: Leaf, number: int) -> Any:
    body = BODIES[id_]
    if id_ == "secrets_create":
        body = body | {"name": f"secret/new/{number}"}
    if id_ == "batch_write":
        body = {"secrets": [body["secrets"][0] | {"name": f"secret/new/{number}"}]}
    if id_ == "users_create":
        body = body | {"username": f"new-{number}"}
    if id_ in ("entities_create", "groups_create", "entities_write_alias"):
        body = body | {"name": f"new-{number}"}
    if id_ == "keys_create" and "permissions" in leaf:
        body = body | {"permissions": [{"capabilities": ["read"], "paths": ["secret/x"]}]}
    if "conditions" in leaf:
        name = next(each for each in reversed(leaf) if each in CONDITIONS)
        at = leaf[: leaf.index("conditions") + 1]
        body = planted(body, at, [CONDITIONS[name]])
    if id_ == "replays_replay" and leaf[0] in ("write", "bundle"):
        body = {leaf[0]: [{"name": "tried", "rules": [RULE]}]} | {
            name: value for name, value in body.items() if name == leaf[0]
        }
    return body


def _thing(agent: Agent, id_: str, number: int, sent: str) -> tuple[str, str]:
    """The path to send to, and the page on which the text can be read if it is kept."""
    secret = f"secret/held/{number}"
    if id_ in ("secrets_create", "batch_write"):
        named = sent if sent.startswith("secret/") else f"secret/new/{number}"
        return (
            "secrets" if id_ == "secrets_create" else "batch/write"
        ), f"/secrets/one?name={named}"
    if id_ in ("secrets_update", "secrets_write_metadata"):
        put(agent, "POST", "secrets", {"name": secret, "value": "old"})
        kind = "secrets" if id_ == "secrets_update" else "metadata"
        return f"{kind}/{secret}", f"/secrets/one?name={secret}"
    if id_.startswith("dynamic_write"):
        _make_database(agent)
        what = id_.removeprefix("dynamic_write_")
        return f"database-{what}s/database/{what}{number}", ""
    if id_ == "rotations_write_policy":
        put(agent, "POST", "secrets", {"name": secret, "value": "old"})
        return f"rotation/{secret}", f"/secrets/one?name={secret}"
    if id_ in ("policies_write", "policies_validate"):
        end = "/validate" if id_ == "policies_validate" else ""
        return f"policies/p{number}{end}", f"/policies/p{number}"
    if id_ == "users_update":
        made = put(agent, "POST", "users", {"username": f"held-{number}"})
        return f"users/{made['id']}", f"/users/{made['id']}"
    if id_ in ("entities_update", "groups_update", "groups_change_members"):
        kind = id_.partition("_")[0]
        made = put(agent, "POST", kind, {"name": f"held-{number}"})
        more = "/members" if id_ == "groups_change_members" else ""
        return f"{kind}/{made['id']}{more}", f"/{kind}/{made['id']}"
    if id_ == "keys_create":
        found = put(agent, "GET", "users?username=held")["users"]
        user = (found or [put(agent, "POST", "users", {"username": "held"})])[0]
        return "keys", f"/users/{user['id']}"
    if id_ == "tokens_renew":
        token = put(agent, "POST", "tokens", {"policies": ["default"]})
        return f"tokens/{token['accessor']}/renew", ""
    if id_ == "auth_tune":
        put(agent, "POST", f"auth/mounts/t{number}", {"type": "approle"})
    at = {
        "auth_enable": f"auth/mounts/a{number}", "auth_tune": f"auth/mounts/t{number}",
        "auth_move": "auth/moves", "auth_act": "auth/actions",
        "policies_dry_run": "policies-dry-run", "replays_replay": "policies-replay",
        "policies_explain": "policies-explain", "jwt_revoke": "jwt/revocations",
        "policies_grant": "policies-grants", "policies_convert": "policies-convert",
        "mounts_move": "system/mount-moves", "wrapping_unwrap": "wrapping/unwrap",
        "wrapping_rewrap": "wrapping/rewrap", "wrapping_look_up": "wrapping/lookup",
        "users_create": "users", "roles_write": f"roles/r{number}", "batch_read": "batch/read",
        "tokens_create": "tokens", "tokens_renew_self": "tokens/self/renew",
        "tokens_lookup": "tokens/lookup", "tokens_revoke_text": "tokens/revoke",
        "entities_create": "entities", "entities_merge": "entities-merge",
        "entities_write_alias": "aliases", "groups_create": "groups",
        "groups_write_alias": "group-aliases",
        "mfa_finish_login": "mfa/login", "mfa_begin_login_passkey": "mfa/login/passkey",
        "mfa_verify": "mfa/verify", "mfa_begin_totp": "mfa/totp",
        "mfa_confirm_totp": "mfa/totp/confirm", "mfa_register_passkey": "mfa/passkeys",
        "mfa_remove": "mfa/factors/remove", "mfa_renew_recovery_codes": "mfa/recovery-codes",
        "mfa_write_enforcement": f"mfa/enforcements/e{number}",
        "audit_hash": "audit/hash", "system_make_mount": f"system/mounts/m{number}",
        "system_change_mount": "system/mounts/secret", "backups_create": "backups",
        "changes_acknowledge": "changes/ack", "dynamic_revoke_leases": "leases-revoke",
        "dynamic_create_credentials": "credentials/database/none",
        "dynamic_renew_lease": "lease-renew/database/creds/none/1",
        "backups_restore": "backups/none/restore", "rotations_run": "rotations/run",
        "system_migrate_seal": "system/seal-migration",
        "break_glass_open_vault": "system/break-glass/open",
    }  # fmt: skip
    return at[id_], ""


def _make_database(agent: Agent) -> None:
    """A mount with a connection, unless it is there."""
    agent.call("POST", "/api/v1/system/mounts/database", {"type": "database"})
    body = BODIES["dynamic_write_connection"] | {"allowed_roles": ["*"]}
    put(agent, "PUT", "database-connections/database/held", body)


def put(agent: Agent, method: str, path: str, body: object = None) -> Any:
    """As root; what it answered. Fails for a refusal."""
    answer = agent.call(method, f"/api/v1/{path}", body, headers={"Content-Type": JSON})
    assert answer.status < HTTPStatus.MULTIPLE_CHOICES, (path, answer.body)
    return answer.json


def found(agent: Agent, asked: str) -> list[dict[str, Any]]:
    """Records of the audit log up to now, the newest first; its index follows a moment behind."""
    mark = agent.call("GET", "/api/v1/policies").request_id
    until(lambda: put(agent, "GET", f"audit/events?request_id={mark}")["events"], "the index")
    events: list[dict[str, Any]] = put(agent, "GET", f"audit/events?limit=500&{asked}")["events"]
    return events
