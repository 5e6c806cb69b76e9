"""The durable state of agents' links."""

from msgspec import Struct


class AgentLink(Struct, frozen=True):
    """Both streams of one agent (docs/spec/link.md, Durable delivery).

    Bundles and cosignatures are not kept a second time: the row says which id the newest one has,
    and its bytes are those of the assignment or checkpoint.
    """

    org: str
    vault: str
    stream: bytes
    """Of what we send it."""
    newest: int
    acknowledged: int
    bundle: int
    """Version of the bundle that has the id `bundle_id`; 0 for none."""
    bundle_id: int
    checkpoint: int
    """Size of the cosigned checkpoint that has the id `checkpoint_id`."""
    checkpoint_id: int
    peer: bytes
    """The agent's stream; empty before its first durable message."""
    applied: int
    epoch: int = 0
    """Of the connection that counts; grows by one with each, where several processes share."""
    measured: int = 0
    """When the newest figures were measured that were taken; Unix seconds."""
    histograms: dict[str, tuple[int, ...]] = {}
    """Totals by bucket of each histogram in those figures."""


class OutgoingMessage(Struct, frozen=True):
    """A command or notification that an agent has not acknowledged yet; `payload` is encoded."""

    org: str
    vault: str
    id: int
    name: str
    payload: bytes


class AgentCommand(Struct, frozen=True):
    """What a person asked an agent to do; `outcome` is empty until the agent tells."""

    org: str
    id: str
    vault: str
    command: str
    created_by: str
    created_at: int
    expires_at: int
    outcome: str
    done_at: int
