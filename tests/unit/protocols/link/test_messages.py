"""The allow-list: what an agent can say, and that no secret fits into it."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from protocols.link import codec
from protocols.link import messages as m
from protocols.link.envelope import Envelope
from protocols.link.errors import LocalFaultError
from protocols.link.messages import MESSAGE_SPECS, Delivery, Direction, MessageType
from protocols.link.vocabulary import OperationName
from tests.unit.protocols.link.duet import metrics

LONGEST_TEXT = 512  # a signed tree head, in its fixed form
LONGEST_BYTES = 32
MOST_ITEMS = 160


def faults(kind: Any, place: str, safe: bool = False) -> list[str]:
    """What is wrong with a field's type: unbounded, free, or without the reason why it is safe."""
    match kind:
        case inspect.Metadata(type=inner, extra_json_schema=extra):
            return faults(inner, place, safe or bool((extra or {}).get("description")))
        case inspect.EnumType() | inspect.BoolType():
            return []
        case inspect.StructType(cls=cls, fields=fields, forbid_unknown_fields=strict):
            found = [] if strict and cls.__struct_config__.frozen else [f"{place} is not strict"]
            for field in fields:
                where = f"{place}.{field.name}"
                found += [] if field.required else [f"{where} is optional"]
                found += faults(field.type, where)
            return found
        case inspect.VarTupleType(item_type=item, max_length=int(bound)) if bound <= MOST_ITEMS:
            return faults(item, place + "[]")
        case inspect.IntType(ge=0 | 1, le=int()) if safe:
            return []
        case inspect.StrType(pattern=str(pattern), max_length=int(bound)) if safe:
            anchored = pattern.startswith(r"\A") and pattern.endswith(r"\Z")
            return [] if anchored and bound <= LONGEST_TEXT else [f"{place} is free text"]
        case inspect.BytesType(min_length=int(low), max_length=int(high)) if safe:
            return [] if low == high <= LONGEST_BYTES else [f"{place} is free bytes"]
    return [f"{place} is {type(kind).__name__}, or nothing says why it is safe"]


@pytest.mark.parametrize("kind", MESSAGE_SPECS.values(), ids=lambda kind: kind.name)
def test_an_agents_messages_cannot_hold_a_secret(kind: m.MessageSpec):
    """What an agent sends is bounded numbers, listed words, hashes, ids and set forms."""
    if Direction.TO_CONTROL in kind.directions:
        assert faults(inspect.type_info(kind.shape), kind.name) == []


def test_the_envelope_cannot_hold_a_secret_either():
    """What surrounds the payload keeps to the same rule."""
    fields = {f.encode_name: f.type for f in inspect.type_info(Envelope).fields}  # type: ignore[attr-defined]
    del fields["payload"]  # a message, which has its own test
    for name, kind in fields.items():
        assert faults(kind, name) == []


@pytest.mark.parametrize(
    "annotation",
    [str, bytes, int, float, dict[str, int], dict[str, Any], Any, tuple[int, ...], list[str]],
)
def test_the_walk_itself_refuses_what_is_free(annotation: Any):
    """The test above can fail: none of these passes it."""
    shape = msgspec.defstruct("Leak", [("x", annotation)], frozen=True, forbid_unknown_fields=True)
    assert faults(inspect.type_info(shape), "leak")


def test_every_type_has_one_row():
    """The table names each type once, each shape once, and each has a way to go."""
    assert set(MESSAGE_SPECS) == set(MessageType)
    assert len({kind.shape for kind in MESSAGE_SPECS.values()}) == len(MESSAGE_SPECS)
    assert all(kind.directions for kind in MESSAGE_SPECS.values())
    assert m.spec_of(metrics()) is MESSAGE_SPECS[MessageType.METRICS]


def test_what_waits_in_an_outbox_is_of_the_first_version():
    """Nobody knows which peer will come for it.

    A newer message that is durable would end each session with an older peer, for good.
    """
    durable = [kind for kind in MESSAGE_SPECS.values() if kind.delivery is not Delivery.EPHEMERAL]
    assert {kind.since for kind in durable} == {1}
    assert {kind.name for kind in MESSAGE_SPECS.values() if kind.since > 1} == {
        MessageType.POLICY_REPLAY,
        MessageType.REPLAY_RESULT,
        MessageType.CONDITIONS,
        MessageType.WORKERS,
        MessageType.KEY_PROVIDERS,
        MessageType.VAULT,
        MessageType.BACKUPS,
        MessageType.ROTATIONS,
        MessageType.CLIENTS,
    }


def test_evidence_is_never_droppable():
    """What an auditor or operator must see is not in the classes that may be let go."""
    evidence = {kind.name for kind in MESSAGE_SPECS.values() if kind.delivery is Delivery.EVIDENCE}
    assert evidence >= {
        MessageType.ALERT,
        MessageType.AUDIT_CHECKPOINT,
        MessageType.POLICY_STATUS,
        MessageType.COMMAND_RESULT,
        MessageType.COMMAND,
    }
    droppable = [
        kind.name for kind in MESSAGE_SPECS.values() if kind.delivery is Delivery.DROPPABLE
    ]
    assert droppable == [MessageType.METRICS, MessageType.USAGE]


def test_no_command_takes_an_argument():
    """A command is a word, an idempotency key and a time: nothing that names code, path or host."""
    assert [f.name for f in msgspec.structs.fields(m.Command)] == [
        "command_id",
        "command",
        "expires_at",
    ]


def test_directions_are_each_others_back():
    """Two ways, and no third."""
    assert Direction.TO_AGENT.opposite is Direction.TO_CONTROL
    assert Direction.TO_CONTROL.opposite is Direction.TO_AGENT


def test_a_part_of_a_message_is_no_message():
    """A struct that only lives inside others has no row, and cannot be sent."""
    with pytest.raises(KeyError):
        m.spec_of(m.Cursor(stream=bytes(16), applied=0))
    with pytest.raises(LocalFaultError, match="not a message"):
        codec.message_type_of(m.Cursor(stream=bytes(16), applied=0))


def test_every_operation_of_the_agent_has_its_word():
    """An operation of the agent is counted under its name, not as `other`.

    Those that are newer than the link's first version are: a control plane that speaks it would
    end the session for a word that it does not know.
    """
    later = {
        *("policy.replay", "secret.metadata.diff", "policy.validate", "policy.check"),
        *("fleet.bundle", "fleet.reset", "sys.retire_keys", "sys.rotate_root", "sys.health"),
        *("sys.nodes.list", "sys.nodes.forget", "sys.renew_wrappings", "sys.unseal.migrate"),
        *(f"sys.seal_migration.{step}" for step in ("status", "update", "cancel")),
        *(f"backup.{name}" for name in ("list", "read", "create", "validate", "delete")),
        *("backup.schedule", "backup.runs.list", "backup.runs.read", "backup.runs.cancel"),
        *("backup.restore", "backup.runs.secrets"),
        *("secret.changes", "secret.acknowledge", "rotation.policy.write", "rotation.overview"),
        *(f"rotation.{name}" for name in ("list", "plan", "read", "begin", "step", "pause")),
        *(
            f"database.{what}.{verb}"
            for what in ("connection", "role", "static_role")
            for verb in ("write", "read", "list", "delete")
        ),
        *("database.connection.rotate", "database.connection.check", "database.static_role.rotate"),
        *("database.orphans.list", "database.orphans.drop", "database.sweep"),
        *(f"lease.{name}" for name in ("read", "list", "keys", "renew", "revoke", "step")),
        *("lease.revoke_prefix", "lease.tidy", "credentials.create"),
        *("policy.capabilities", "policy.own_capabilities"),
        *("secret.consumers", "secret.readers", "identity.exposure", "identity.revoke"),
        *("rotation.resume", "rotation.undo", "rotation.abandon", "rotation.select"),
        *("rotation.refuse", "rotation.schedule"),
        *("request.malformed", "request.refused", "policy.explain", "policy.convert"),
        *("policy.grant", "policy.grants", "policy.revoke_grant", "policy.resultant", "sys.help"),
        *("mount.move", "mount.moves", "mount.move_status"),
        *("session.list", "session.list_of_user", "session.revoke", "session.revoke_of_user"),
        *("auth.login.finish", "auth.login.passkey"),
        *(
            f"mfa.{what}.{verb}"
            for what in ("enforcement", "method")
            for verb in ("read", "list", "write", "delete")
        ),
        *(f"mfa.factor.{verb}" for verb in ("destroy", "generate", "list")),
        *(
            f"mfa.own.{step}"
            for step in (
                "begin_passkey",
                "begin_totp",
                "challenge",
                "confirm_totp",
                "generate",
                "list",
                "recovery_codes",
                "register_passkey",
                "remove",
                "verify",
            )
        ),
        *(
            f"auth.{what}.{verb}"
            for what in ("action", "entry")
            for verb in ("read", "list", "delete")
        ),
        *("auth.action.update", "auth.entry.write", "auth.lockout.list", "auth.lockout.end"),
        *("auth.login", "auth.login.begin", "jwt.revoke", "jwt.list_revocations"),
        *(
            f"auth.mount.{verb}"
            for verb in ("enable", "disable", "list", "move", "read", "tune", "visible")
        ),
        *(
            f"{what}.{verb}"
            for what in ("alias", "entity", "group", "group_alias")
            for verb in ("read", "list", "write", "delete")
        ),
        *(f"{what}.{verb}" for what in ("entity", "group") for verb in ("create", "find")),
        *("entity.delete_many", "entity.merge", "group.members", "alias.check_source"),
        *(f"sys.break_glass.{verb}" for verb in ("make", "read", "revoke")),
        *(f"cubbyhole.{verb}" for verb in ("read", "list", "write", "delete")),
        *("wrapping.wrap_value", "wrapping.wrap", "wrapping.rewrap", "wrapping.lookup"),
        *("wrapping.unwrap", "wrapping.unwrap_own"),
        *(f"sys.generate_root.{step}" for step in ("read", "begin", "offer", "cancel")),
        *(f"sys.rekey.{step}" for step in ("read", "begin", "offer", "commit", "cancel")),
        *(f"sys.rekey.verify.{step}" for step in ("read", "offer", "restart")),
    }
    words_ = {str(name) for name in OperationName} - {"other"}
    source = Path("vault/operations.py").read_text()
    pattern = r'^\w+: Final = OperationType\[.*?\]\(\s*"([a-z_.]+)"'
    found = set(re.findall(pattern, source, re.MULTILINE | re.DOTALL))
    assert found
    assert found - later == found & words_
