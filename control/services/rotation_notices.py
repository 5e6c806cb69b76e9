"""What channels are told of single rotations: those that a secret's rotation policy names.

The secret stays unknown here: a notice has its opaque id, or none.
"""

from typing import Final

from actors import World
from control.model.notices import Kind, Notice
from control.model.records import Severity
from protocols.link.messages import RotationNotice, Rotations
from protocols.link.vocabulary import RotationEvent
from protocols.pki.names import AgentName

ROTATION_EVENTS: Final = {
    RotationEvent.FAILED: (
        "secret_rotation_failed",
        Severity.WARNING,
        (
            "a rotation of a secret of agent {vault} was undone: its applications go on with the "
            "old value; see `freehold rotation status --state undone`"
        ),
    ),
    RotationEvent.STUCK: (
        "secret_rotation_stuck",
        Severity.CRITICAL,
        (
            "a rotation of a secret of agent {vault} waits for a person: see `freehold rotation "
            "status --state stuck`"
        ),
    ),
    RotationEvent.LAGGING: (
        "secret_rotation_lagging",
        Severity.WARNING,
        (
            "applications of agent {vault} have not fetched a new value, and the old one ends "
            "soon: see `freehold rotation status --state current`"
        ),
    ),
    RotationEvent.ROTATED: (
        "secret_rotated",
        Severity.INFO,
        "a secret of agent {vault} has a new value",
    ),
}
"""Event → code, severity and text of its notice."""


def rotation_notices(name: AgentName, told: Rotations, world: World) -> tuple[Notice, ...]:
    """A notice for each that the report has."""
    return tuple(_notice(name, each, world) for each in told.notices)


def _notice(name: AgentName, told: RotationNotice, world: World) -> Notice:
    code, severity, text = ROTATION_EVENTS[told.event]
    message = text.format(vault=name.vault)
    subject = told.secret.hex() if any(told.secret) else ""
    return Notice(
        id=world.new_id(),
        org=name.org,
        kind=Kind.RAISED,
        code=code,
        severity=severity,
        vault=name.vault,
        subject=subject,
        message=f"{message} (id {subject})" if subject else message,
        at=world.now(),
        channels=tuple(digest.hex() for digest in told.channels),
    )
