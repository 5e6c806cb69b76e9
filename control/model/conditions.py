"""Which alerts end by themselves, and what is said of their end.

A condition lasts until the control plane learns that it is over. Everything else is an event, such
as a lockout: nothing ends it but a person who acknowledges it.
"""

from typing import Final

from control.model.records import Alert
from protocols.instant import SECOND
from protocols.link.vocabulary import AlertCode

OFFLINE: Final = "agent_offline"
SEALED: Final = str(AlertCode.SEALED)
REFUSING: Final = "refusing"
CHANNEL_FAILING: Final = "channel_failing"
ROLLOUT_HALTED: Final = "rollout_halted"
BUNDLE_FULL: Final = "bundle_full"
OWNER_GONE: Final = "owner_gone"
"""Channels or schedules are suspended; the alert's subject is the account whose they were."""
CRITICAL_UNDELIVERED: Final = "critical_undelivered"
"""No channel is left that sends critical alerts, since others are suspended."""
REPORTED: Final = frozenset(
    str(code)
    for code in (
        *(AlertCode.SEALED, AlertCode.AUDIT_SINK_FAILED, AlertCode.STORE_FAILED),
        *(AlertCode.DISK_LOW, AlertCode.POLICY_EXPIRED, AlertCode.CERTIFICATE_EXPIRING),
        AlertCode.CLOCK_SET_BACK,
    )
)
"""What an agent says of itself for as long as it holds (`Conditions` of the link)."""
CONDITIONS: Final = REPORTED | {
    *(OFFLINE, REFUSING, CHANNEL_FAILING, ROLLOUT_HALTED, BUNDLE_FULL),
    *(OWNER_GONE, CRITICAL_UNDELIVERED),
}

_ENDS: Final = {
    OFFLINE: "agent {vault} is heard again",
    SEALED: "agent {vault} is unsealed",
    REFUSING: "agent {vault} serves requests again",
}
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def ends_by_itself(code: str) -> bool:
    """Whether acknowledging it leaves it firing."""
    return code in CONDITIONS


def end_of(alert: Alert) -> str:
    """What is said of an alert that is over."""
    end = _ENDS.get(alert.code, "over: {message}").format(vault=alert.vault, message=alert.message)
    return f"{end} (after {lasted(alert.ended_at - alert.at)})"


def sealed(vault: str) -> str:
    """What is said of a sealed agent, however it became known."""
    return f"agent {vault} is sealed: it serves nothing until it is unsealed"


def lasted(length: int) -> str:
    """`3 d 4 h`, `12 min`: nanoseconds in the two largest units."""
    rest, found = length // SECOND, []
    for seconds, unit in _UNITS:
        number, rest = divmod(rest, seconds)
        if number:
            found.append(f"{number} {unit}")
    return " ".join(found[:2]) or "less than a second"
