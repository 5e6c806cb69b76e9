"""What clients know of their writes: invoked, then ok, refused, or never answered."""

from dataclasses import dataclass, field
from typing import Final, Literal

State = Literal["ok", "refused", "unknown"]
STATES: Final[tuple[State, ...]] = ("ok", "refused", "unknown")


@dataclass
class Write:
    """One write as its client knows it; it is `unknown` from its invocation on."""

    name: str
    value: str
    state: State = "unknown"
    version: int = 0
    request_id: str = ""


@dataclass
class Round:
    """The writes around one fault, and what the oracle found wrong with them."""

    writes: list[Write] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    struck: bool = True  # else nothing befell the agent: it ended before, or this was a last look

    def count(self, state: State) -> int:
        """How many writes ended so."""
        return sum(write.state == state for write in self.writes)
