"""State history: changes that a report over a period has to know."""

from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from control.model.agents import Presence

UNKNOWN: Final = -1
NO_VALUE: Final = ""
"""The value of what is not there any more."""
REPORTING: Final = "heard"
SILENT: Final = "silent"


class Aspect(StrEnum):
    """The kind of state.

    The subject of the first two is a person or empty, of the others an agent.
    """

    ROLE = "role"
    """A person's (`home/name`) in the organization; `NO_VALUE` when disabled or removed."""
    SECOND_FACTOR = "second_factor"
    """Whether the organization demands one: `true` or `false`, of nobody."""
    LIFE = "life"
    PRESENCE = "presence"
    """`REPORTING` or `SILENT`: to be late for a moment is neither news nor a gap."""
    CERTIFICATE = "certificate"
    """The serial of one that was issued or, in `detail`, revoked."""
    POLICY = "policy"
    """What became of the bundle: an `Outcome`; `detail` has versions and hash."""
    KEY = "key"
    """The generation of the agent's key-encryption key; `detail` says whether it is `due`."""


AGENT_ASPECTS: Final = frozenset(Aspect) - {Aspect.ROLE, Aspect.SECOND_FACTOR}


class StateChange(Struct, frozen=True, kw_only=True):
    """The state from `at` (Unix nanoseconds) on, until the next change of the same subject.

    `before`: the instant of the change before; 0: the subject began here; `UNKNOWN`: there was a
    state before, which nobody recorded.
    """

    org: str
    aspect: Aspect
    subject: str
    at: int
    value: str
    detail: dict[str, Any] = {}
    before: int = 0


def presence_value(presence: Presence) -> str:
    """The value of `Aspect.PRESENCE`."""
    return REPORTING if presence in (Presence.ONLINE, Presence.LATE) else SILENT
