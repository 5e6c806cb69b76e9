"""The agent's own view of its link, as a table: the design's diagram of online and offline.

```
online:   syncing ⇄ operating          offline:  local-only ⇄ queueing
```

The words are those that the control plane is told (`protocols.link.vocabulary.SyncPhase`):
`online` is the design's "operating", `offline` its "local-only".
"""

from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final

from protocols.link.vocabulary import SyncPhase


@unique
class PhaseEvent(StrEnum):
    """What moves the view on."""

    OPENED = "opened"
    """Both ends have proven themselves."""
    CAUGHT_UP = "caught_up"
    """What waited on either side is through, and no policy waits to be applied."""
    POLICY = "policy"
    """A bundle has come and is not applied yet."""
    LOST = "lost"
    """The connection is gone."""
    QUEUED = "queued"
    """Something for the control plane has been put into the outbox."""
    EMPTIED = "emptied"
    """Nothing is in the outbox."""


_ONLINE: Final = (SyncPhase.SYNCING, SyncPhase.ONLINE)
_OFFLINE: Final = (SyncPhase.OFFLINE, SyncPhase.QUEUEING)

TRANSITIONS: Final = MappingProxyType(
    {
        **{(phase, PhaseEvent.OPENED): SyncPhase.SYNCING for phase in SyncPhase},
        **{(phase, PhaseEvent.LOST): SyncPhase.OFFLINE for phase in _ONLINE},
        **{(phase, PhaseEvent.LOST): phase for phase in _OFFLINE},
        **{(phase, PhaseEvent.CAUGHT_UP): SyncPhase.ONLINE for phase in _ONLINE},
        **{(phase, PhaseEvent.POLICY): SyncPhase.SYNCING for phase in _ONLINE},
        **{(phase, PhaseEvent.QUEUED): SyncPhase.QUEUEING for phase in _OFFLINE},
        **{(phase, PhaseEvent.EMPTIED): SyncPhase.OFFLINE for phase in _OFFLINE},
    }
)
"""(phase, step) → phase. What is missing changes nothing: an outbox that fills or empties while
online, a policy or a caught-up session that is told after its connection was lost."""


def next_phase(phase: SyncPhase, by: PhaseEvent) -> SyncPhase:
    """The phase that follows."""
    return TRANSITIONS.get((phase, by), phase)
