"""Alerts that end by themselves (conditions), and texts of alerts.

A condition lasts until the control plane learns that it is over. Every other alert is an event,
such as a lockout: it ends when a person acknowledges it.
"""

from collections.abc import Mapping
from typing import Final

from control.model.records import Alert
from protocols.instant import SECOND
from protocols.link.vocabulary import AlertCode

OFFLINE: Final = "agent_offline"
SEALED: Final = str(AlertCode.SEALED)
REFUSING: Final = "refusing"
WORKERS_FAILING: Final = "workers_failing"
"""What an agent says by `Workers` of the link."""
KEY_PROVIDER_FAILED: Final = "key_provider_failed"
"""What an agent says by `KeyProviders` of the link."""
BACKUP_LATE: Final = "backup_late"
BACKUP_FAILED: Final = "backup_failed"
BACKUP_UNPROVEN: Final = "backup_unproven"
BACKUP_CODES: Final = (BACKUP_LATE, BACKUP_FAILED, BACKUP_UNPROVEN)
"""Of a vault, at one of its agents: what `Backups` of the link says, and how old that is."""
ROTATION_OVERDUE: Final = "rotation_overdue"
ROTATION_STUCK: Final = "rotation_stuck"
LEASES_IRREVOCABLE: Final = "leases_irrevocable"
ROTATION_LAGGING: Final = "rotation_lagging"
LEASES_UNRENEWED: Final = "leases_unrenewed"
ROTATION_CODES: Final = (
    *(ROTATION_OVERDUE, ROTATION_STUCK, LEASES_IRREVOCABLE),
    *(ROTATION_LAGGING, LEASES_UNRENEWED),
)
"""Of a vault, at one of its agents: what `Rotations` and `Clients` of the link say, and what is due
since."""
CHANNEL_FAILING: Final = "channel_failing"
ROLLOUT_HALTED: Final = "rollout_halted"
BUNDLE_FULL: Final = "bundle_full"
BREAK_GLASS: Final = "break_glass"
"""An event: break-glass holders have opened the vault. An agent says it as `unsealed`, critical."""
OWNER_GONE: Final = "owner_gone"
"""Channels or schedules are suspended; the alert's subject is the account whose they were."""
CRITICAL_UNDELIVERED: Final = "critical_undelivered"
"""No channel is left that sends critical alerts, since others are suspended."""
CREDENTIALS_RESET: Final = "credentials_reset"
"""An event: the subject's credentials were reset, and what it set up goes on or was withdrawn."""
REPORTED: Final = frozenset(
    str(code)
    for code in (
        *(AlertCode.SEALED, AlertCode.AUDIT_SINK_FAILED, AlertCode.STORE_FAILED),
        *(AlertCode.DISK_LOW, AlertCode.POLICY_EXPIRED, AlertCode.CERTIFICATE_EXPIRING),
        *(AlertCode.CLOCK_SET_BACK, WORKERS_FAILING, KEY_PROVIDER_FAILED),
    )
)
"""What an agent says of itself for as long as it holds (`Conditions` and more of the link)."""
CONTRADICTED: Final = frozenset({"audit_fork", "audit_rollback", "audit_key"})
"""An agent's audit log is not the one that was cosigned; over when a person accepts the log
or retires the agent."""
AGENT_LOCKED: Final = "agent_locked"
TRAIL_BROKEN: Final = "trail_broken"
ON_RECORD: Final = CONTRADICTED | {AGENT_LOCKED}
"""What holds of an agent whether it is heard or not."""
REPORTING: Final = REPORTED | {OFFLINE, REFUSING, BUNDLE_FULL, *BACKUP_CODES, *ROTATION_CODES}
"""What is over for an agent that nobody listens to any more."""
CONDITIONS: Final = (
    REPORTING
    | ON_RECORD
    | {CHANNEL_FAILING, ROLLOUT_HALTED, TRAIL_BROKEN, OWNER_GONE, CRITICAL_UNDELIVERED}
)

_ENDS: Final = {
    OFFLINE: "agent {vault} is heard again",
    SEALED: "agent {vault} is unsealed",
    REFUSING: "agent {vault} serves requests again",
    BACKUP_LATE: "the vault of agent {vault} has a recent backup again, or makes none any more",
    BACKUP_FAILED: "a backup of the vault of agent {vault} was made again",
    BACKUP_UNPROVEN: "a restore has proven a recent backup of the vault of agent {vault}",
    ROTATION_OVERDUE: "no rotation of the vault of agent {vault} is overdue any more",
    ROTATION_STUCK: "no rotation of the vault of agent {vault} waits for a person any more",
    LEASES_IRREVOCABLE: "every expired credential of the vault of agent {vault} is dropped",
    ROTATION_LAGGING: "no application of the vault of agent {vault} lags behind a rotation any "
    "more, or the old value ended a day ago",
    LEASES_UNRENEWED: "no client of the vault of agent {vault} asks for new credentials instead of "
    "renewing any more",
    AGENT_LOCKED: "agent {vault} is enrolled anew or retired",
    TRAIL_BROKEN: "the trail of people is the one that was signed",
    **dict.fromkeys(
        CONTRADICTED, "the audit log of agent {vault} was accepted, or the agent retired"
    ),
}
_MESSAGES: Final[Mapping[str, str]] = {
    SEALED: "agent {vault} is sealed: it serves nothing until it is unsealed",
    REFUSING: "agent {vault} refuses every request: it cannot write its audit log",
    WORKERS_FAILING: "worker processes of agent {vault} end again and again: see its log",
    BACKUP_LATE: "the newest backup of the vault of agent {vault} is older than its schedule "
    "allows: see whether the agent runs and is unsealed, and its log",
    BACKUP_FAILED: "the last backup of the vault of agent {vault} failed: see its log",
    BACKUP_UNPROVEN: "no restore has proven a recent backup of the vault of agent {vault}: see the "
    "log of the restore test",
    ROTATION_OVERDUE: "secrets of the vault of agent {vault} should have been rotated by now: see "
    "whether the agent runs and is unsealed, and `freehold rotation plan`",
    ROTATION_STUCK: "a rotation of the vault of agent {vault} waits for a person: see `freehold "
    "rotation status --state stuck`",
    LEASES_IRREVOCABLE: "credentials of expired leases of the vault of agent {vault} could not be "
    "dropped at their target: see the leases that are irrevocable",
    ROTATION_LAGGING: "applications of the vault of agent {vault} have not fetched a new value, "
    "and the old one ends soon or has ended: `freehold rotation status` names them",
    LEASES_UNRENEWED: "clients of the vault of agent {vault} ask for new credentials again and "
    "again instead of renewing their leases: have them renew, see `freehold lease list`",
    BREAK_GLASS: "the vault of agent {vault} was opened by break-glass, without its key provider: "
    "see `sys.break_glass.open` in its audit log, and make its root key safe again",
    AlertCode.AUDIT_SINK_FAILED: "an audit sink of agent {vault} does not accept records",
    AlertCode.STORE_FAILED: "agent {vault} cannot write its database or its anchor",
    AlertCode.DISK_LOW: "a disk of agent {vault} is nearly full: free some space before it refuses "
    "requests",
    AlertCode.POLICY_EXPIRED: "the policy bundle of agent {vault} has expired",
    AlertCode.CLOCK_SET_BACK: "the clock of agent {vault} is behind a time it has shown before",
    AlertCode.CERTIFICATE_EXPIRING: "the certificate of agent {vault} expires and is not renewed",
    AlertCode.AUDIT_TAMPERED: "the audit log of agent {vault} is damaged or was changed: keep a "
    "copy, then run `freehold audit verify` on its machine",
    AlertCode.STORE_TAMPERED: "somebody else has written to the database of agent {vault}, or it "
    "is damaged: find out who can write the file, and see `store.foreign_write` in its audit log",
    AlertCode.STORE_ROLLED_BACK: "database, audit log, anchor or link files of agent {vault} are "
    "older than they once were: find out who has put back a copy",
    AlertCode.LOCKOUT: "agent {vault} has locked out a credential after wrong secrets: see "
    "`auth.refused` and failed logins in its audit log",
    AlertCode.ROTATION_FAILED: "agent {vault} could not rotate its key-encryption key: it tries "
    "again each hour; see its log",
    AlertCode.SECRET_EXPIRING: "a secret of agent {vault} expires soon",
    AlertCode.SECRET_EXPIRED: "a secret of agent {vault} has expired",
    AlertCode.POLICY_REFUSED: "agent {vault} has refused its policy bundle: the outcome of the "
    "bundle says why",
    KEY_PROVIDER_FAILED: "a key provider of agent {vault} would not unseal it: see its "
    "log before it is restarted",
    AlertCode.METRICS_DROPPED: "agent {vault} could not send its metrics for so long that it has "
    "dropped the oldest",
}
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def ends_by_itself(code: str) -> bool:
    """Whether acknowledging it leaves it firing."""
    return code in CONDITIONS


def end_message(alert: Alert) -> str:
    """The text of an alert that is over."""
    end = _ENDS.get(alert.code, "over: {message}").format(vault=alert.vault, message=alert.message)
    return f"{end} (after {format_duration(alert.ended_at - alert.at)})"


def alert_message(code: str, vault: str, subject: str = "") -> str:
    """The text of an agent's alert, however it became known. `subject`: an opaque id."""
    message = _MESSAGES[code].format(vault=vault)
    return f"{message} (id {subject})" if subject else message


def format_duration(length: int) -> str:
    """`3 d 4 h`, `12 min`: nanoseconds in the two largest units."""
    rest, found = length // SECOND, []
    for seconds, unit in _UNITS:
        number, rest = divmod(rest, seconds)
        if number:
            found.append(f"{number} {unit}")
    return " ".join(found[:2]) or "less than a second"
