"""Open critical alerts against the evidence that they contradict.

A statement is not met while an alert contradicts it: whatever the rest of the period shows, the
evidence becomes a gap and names the alert.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from control.compliance import proofs
from control.compliance.evidence.assessment import MAX_NAMES, Period, plural
from control.model.compliance import Evidence, ReportedProof, Result
from control.model.records import Alert
from control.store import compliance_queries as reads
from control.store.rows import Tx
from protocols.instant import SECOND, rfc3339

_LOG: Final = ("audit.checkpoints",)
_STORE: Final = ("agents.presence", "upkeep.backups")
CONTRADICTED_EVIDENCE: Final[Mapping[str, tuple[str, ...]]] = {
    "agent_offline": ("agents.presence",),
    "agent_locked": ("agents.certificates", "agents.revocations"),
    "audit_fork": _LOG,
    "audit_key": _LOG,
    "audit_rollback": _LOG,
    "audit_sink_failed": _LOG,
    "audit_tampered": _LOG,
    "backup_late": ("upkeep.backups",),
    "break_glass": ("upkeep.keys",),
    "certificate_expiring": ("agents.certificates",),
    "checkpoint_invalid": _LOG,
    "disk_low": _STORE,
    "link_lost": ("agents.presence",),
    "lockout": ("people.refusals",),
    "policy_expired": ("policies.in-force",),
    "policy_not_issued": ("policies.in-force",),
    "policy_refused": ("policies.in-force",),
    "refusing": ("agents.presence", *_LOG),
    "key_provider_failed": ("upkeep.keys",),
    "leases_irrevocable": ("upkeep.rotation-debt",),
    "rotation_failed": ("upkeep.rotations", "upkeep.keys"),
    "rotation_stuck": ("upkeep.rotation-debt",),
    "sealed": ("agents.presence",),
    "secret_expired": ("upkeep.rotations",),
    "store_failed": _STORE,
    "store_rolled_back": (*_LOG, "upkeep.backups"),
    "store_tampered": _LOG,
    "trail_broken": ("audit.trail",),
    "workers_failing": ("agents.presence",),
}
"""Code of an alert → the evidence that it contradicts. Whether somebody looks at alerts in time is
`audit.alerts`."""


def open_alerts(tx: Tx, span: Period) -> list[Alert]:
    """Critical alerts that are open at the end of the period, the newest first."""
    found = reads.critical_alerts_before(tx, span.org, span.end)
    return [alert for alert in found if is_open(alert, span.end)]


def is_open(alert: Alert, at: int) -> bool:
    """Whether it was fired by then and not resolved (`at`: Unix nanoseconds)."""
    return alert.at < at and not 0 < alert.ended_at < at


def apply_open_alerts(found: Iterable[Evidence], alerts: Sequence[Alert]) -> list[Evidence]:
    """The evidence; what open alerts contradict is a gap, and names them."""
    bearing: dict[str, list[Alert]] = {}
    for alert in alerts:
        for id_ in CONTRADICTED_EVIDENCE.get(alert.code, ()):
            bearing.setdefault(id_, []).append(alert)
    return [_contradict(item, bearing[item.id]) if item.id in bearing else item for item in found]


def _contradict(item: Evidence, alerts: Sequence[Alert]) -> Evidence:
    shown = alerts[:MAX_NAMES]
    more = len(alerts) - len(shown)
    proofs_ = [
        ReportedProof(vault=a.vault, name=f"open alert {a.code}", value=a.message, at=a.at)
        for a in shown
    ]
    named = [f"{a.message} (open since {rfc3339(a.at - a.at % SECOND)})" for a in shown]
    return replace(
        item,
        result=Result.GAP,
        summary=f"{plural(len(alerts), 'critical alert')} open against this. {item.summary}",
        exceptions=(*named, *([f"and {more} more alerts"] if more > 0 else []), *item.exceptions),
        figures={**item.figures, "open_alerts": len(alerts)},
        proofs=(*proofs_, *item.proofs)[: proofs.MAX_PROOFS],
        total=item.total + len(proofs_),
    )
