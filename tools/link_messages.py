"""The messages of tests/vectors/link.json, one of each, as docs/spec/link.md has them."""

from typing import Any

WALL_MS = 1_790_000_000_000
TO_CONTROL, TO_AGENT = b"\x01", b"\x02"
NONCES = (b"n" * 16, b"m" * 16)

SINCE_VERSION = {
    "policy_replay": 2,
    "replay_result": 2,
    "conditions": 3,
    "workers": 4,
    "vault": 5,
    "backups": 6,
    "rotations": 7,
    "key_providers": 8,
    "clients": 9,
}  # the others: 1


def _actor(name: str, level: int, *, queued: int = 0, bound: int = 0) -> dict[str, Any]:
    counts = {"restarts": 0, "handled": 9, "mean_us": 120, "max_us": 900}
    mailbox = {"queued": queued, "bound": bound, "refused": 0, "dropped": 0}
    return {"name": name, "level": level, "state": "running", **counts, **mailbox}


MESSAGES: dict[str, tuple[bytes, int, Any]] = {
    "hello": (
        TO_CONTROL,
        0,
        {
            "versions": [1, 2, 3],
            "org": "acme",
            "nonce": NONCES[0],
            "stream": b"u" * 16,
            "newest": 300,
            "received": {"stream": b"d" * 16, "applied": 7},
        },
    ),
    "welcome": (
        TO_AGENT,
        0,
        {
            "version": 3,
            "agent_nonce": NONCES[0],
            "nonce": NONCES[1],
            "stream": b"d" * 16,
            "newest": 9,
            "received": {"stream": b"u" * 16, "applied": 290},
        },
    ),
    "ping": (TO_CONTROL, 0, {"number": 70_000}),
    "pong": (TO_AGENT, 0, {"number": 70_000}),
    "ack": (TO_CONTROL, 0, {}),
    "skipped": (TO_CONTROL, 299, {"first": 291, "reason": "dropped"}),
    "bye": (TO_AGENT, 0, {"reason": "restart", "spread": 30_000}),
    "registration": (
        TO_CONTROL,
        0,
        {
            "release": "0.1.0",
            "platform": "linux_amd64",
            "backend": "sqlite",
            "key_holder": "file",
            "started_at": WALL_MS - 1,
            "policy_version": 0,
            "policy_hash": bytes(32),
            "audit_size": 5_000_000_000,
        },
    ),
    "heartbeat": (
        TO_CONTROL,
        0,
        {
            "health": "serving",
            "uptime": 60,
            "policy_version": 3,
            "audit_size": 255,
            "secrets": 256,
            "outbox_messages": 65_535,
            "outbox_bytes": 2**63 - 1,
        },
    ),
    "sync_state": (
        TO_CONTROL,
        0,
        {"phase": "online", "since": WALL_MS, "pending": 0, "dropped": 4},
    ),
    "metrics": (
        TO_CONTROL,
        300,
        {
            "since": WALL_MS - 60_000,
            "until": WALL_MS,
            "counters": [{"name": "reads", "value": 12}],
            "gauges": [{"name": "secrets", "value": 3}],
            "histograms": [{"name": "request_duration", "counts": [1] * 15, "sum_us": 99}],
        },
    ),
    "alert": (
        TO_CONTROL,
        301,
        {
            "alert_id": b"i" * 16,
            "code": "lockout",
            "severity": "warning",
            "raised_at": WALL_MS,
            "subject": bytes(16),
            "count": 2,
        },
    ),
    "audit_checkpoint": (
        TO_CONTROL,
        302,
        {
            "old_size": 1,
            "size": 2,
            "root": b"r" * 32,
            "note": f"freehold.audit/prod/8f1c2a90b3d4e5f6\n2\n{'A' * 43}=\nhead {'0' * 64}\n"
            f"time 2026-11-24T19:00:00Z\n\n— freehold.audit/prod/8f1c2a90b3d4e5f6 {'B' * 91}=\n",
            "signer": b"k" * 32,
            "proof": [b"q" * 32],
        },
    ),
    "policy_status": (
        TO_CONTROL,
        303,
        {
            "version": 3,
            "bundle_hash": b"h" * 32,
            "phase": "refused",
            "reason": "above_ceiling",
            "narrowed": 0,
            "at": WALL_MS,
        },
    ),
    "glimpse": (
        TO_CONTROL,
        0,
        {
            "at": WALL_MS,
            "counters": [{"name": "requests", "value": 7}],
            "gauges": [{"name": "secrets", "value": 3}],
            "histograms": [],
            "nodes": [
                _actor("agent", 0),
                _actor("store", 1),
                _actor("writer", 2, queued=3, bound=16_384),
            ],
        },
    ),
    "usage": (
        TO_CONTROL,
        305,
        {
            "since": WALL_MS - 3_600_000,
            "until": WALL_MS,
            "operations": [{"name": "secret.read", "count": 200, "failed": 1}],
            "secrets": {
                "at": WALL_MS,
                "total": 3,
                "never_read": 1,
                "expired": 0,
                "idle": [1, 1, 0, 0, 0, 0, 1],
                "age": [0, 0, 3, 0, 0, 0, 0],
                "expires": [0] * 7,
            },
            "named": [
                {
                    "secret": b"s" * 16,
                    "reads": 199,
                    "last_read": WALL_MS - 1,
                    "rotated_at": WALL_MS - 2_000_000_000,
                    "expires_at": 0,
                }
            ],
            "identities": [{"identity": b"u" * 16, "count": 200}],
        },
    ),
    "command_result": (
        TO_CONTROL,
        304,
        {"command_id": b"k" * 16, "outcome": "done", "at": WALL_MS},
    ),
    "policy_update": (TO_AGENT, 8, {"bundle": bytes(64) + b"\x80"}),
    "notification": (
        TO_AGENT,
        9,
        {"notification_id": b"o" * 16, "code": "audit_fork", "severity": "critical", "at": WALL_MS},
    ),
    "command": (
        TO_AGENT,
        10,
        {"command_id": b"k" * 16, "command": "send_metrics", "expires_at": WALL_MS + 1},
    ),
    "observe": (TO_AGENT, 0, {"seconds": 20}),
    "policy_replay": (
        TO_AGENT,
        0,
        {
            "replay_id": b"p" * 16,
            "rules": [b'{"name":"readers"}'],
            "since": WALL_MS - 86_400_000,
            "until": WALL_MS,
            "expires_at": WALL_MS + 3_600_000,
        },
    ),
    "conditions": (TO_CONTROL, 0, {"codes": ["audit_sink_failed", "sealed"]}),
    "workers": (TO_CONTROL, 0, {"state": "failing"}),
    "key_providers": (TO_CONTROL, 0, {"state": "failing"}),
    "backups": (
        TO_CONTROL,
        0,
        {
            "state": "good",
            "newest": WALL_MS - 3_600_000,
            "proven": WALL_MS - 90_000_000,
            "count": 14,
            "period": 86_400,
            "rto": 40,
            "rpo": 0,
            "certificate": b"c" * 32,
        },
    ),
    "rotations": (
        TO_CONTROL,
        0,
        {
            "at": WALL_MS - 30_000,
            "policies": 40,
            "unmanaged": 7,
            "due": 3,
            "overdue": 1,
            "overdue_since": WALL_MS - 90_000_000,
            "next_due": WALL_MS + 3_600_000,
            "running": 2,
            "waiting": 5,
            "failing": 1,
            "stuck": 1,
            "rotated_day": 4,
            "rotated_month": 61,
            "leases": 12,
            "revoking": 1,
            "irrevocable": 0,
            "notices": [
                {
                    "notice": b"n" * 16,
                    "secret": bytes(16),
                    "event": "stuck",
                    "channels": [b"c" * 16],
                }
            ],
        },
    ),
    "clients": (TO_CONTROL, 0, {"lagging": 2, "unrenewed": 1}),
    "vault": (TO_CONTROL, 0, {"vault": b"v" * 16}),
    "replay_result": (
        TO_CONTROL,
        0,
        {
            "replay_id": b"p" * 16,
            "outcome": "done",
            "reached": WALL_MS - 86_400_000,
            "records": 900,
            "accesses": 700,
            "unchanged": 650,
            "denied": 30,
            "allowed": 5,
            "drifted": 0,
            "undecided": [{"reason": "credential_gone", "count": 15}],
            "changes": [
                {"identity": b"u" * 16, "secret": b"s" * 16, "denied": 30, "allowed": 0},
                {"identity": b"u" * 16, "secret": bytes(16), "denied": 0, "allowed": 5},
            ],
        },
    ),
    "checkpoint_cosignature": (
        TO_AGENT,
        11,
        {"size": 2, "root": b"r" * 32, "cosignature": f"— witness.example {'C' * 102}==\n"},
    ),
}
