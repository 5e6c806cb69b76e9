"""What clients know of their requests: when each was sent and answered, and what came back."""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal[
    "write", "read", "metadata",  # of a secret with many versions
    "create", "erase", "list",  # of names that exist at most once
    "issue", "revoke", "use",  # of tokens
]  # fmt: skip
State = Literal["ok", "refused", "unknown", "unavailable"]
"""`refused`: nothing was stored. `unknown`: it may be. `unavailable`: a read without an answer."""
NEVER: Final = 1 << 62


@dataclass(slots=True)
class Operation:
    """One request of a client to an agent."""

    client: int
    agent: int
    kind: Kind
    key: str  # a secret, a token, or the folder of a list
    invoked: int  # ns of the monotonic clock
    value: str = ""  # what is written or was read
    state: State = "unknown"
    answered: int = NEVER
    version: int = 0  # of a write or read; 0: there is none
    expected: int | None = None  # check-and-set
    names: frozenset[str] = frozenset()  # that a list has
    accepted: bool = False  # of a token's use

    def __str__(self) -> str:
        took = "" if self.answered == NEVER else f" to {self.answered / 1e9:.4f}"
        return (
            f"{self.kind} {self.key} v{self.version} {self.value!r} {self.state} by client "
            f"{self.client} on agent {self.agent} at {self.invoked / 1e9:.4f}{took}"
        )
