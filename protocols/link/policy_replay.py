"""What a candidate would have made of an agent's past: asked with documents, told in numbers."""

from typing import Annotated

from msgspec import Meta

from protocols.link import vocabulary as words
from protocols.link.fields import Id, Millis, Number, Opaque, Ordinal, Rules
from protocols.link.limits import MAX_BUNDLE, MAX_REPLAY_CHANGES
from protocols.link.message import Message


class PolicyReplay(Message, frozen=True, kw_only=True):
    """Decide the accesses from `since` to `until` again, were these your bundle's rules.

    `replay_id` is its idempotency key. Nothing is put in force.
    """

    replay_id: Id
    rules: Rules
    since: Millis
    until: Millis
    expires_at: Millis
    """From then on nobody waits for the answer."""

    def __post_init__(self) -> None:
        """Refuse `rules` of together more than 196608 bytes (`ValueError`: they fit no bundle)."""
        if sum(map(len, self.rules)) > MAX_BUNDLE:
            raise ValueError("the rules are longer than a bundle")


class UndecidedCount(Message, frozen=True, kw_only=True):
    """How many accesses cannot be decided again for one reason."""

    reason: words.UndecidedReason
    count: Ordinal


class ReplayChange(Message, frozen=True, kw_only=True):
    """Accesses of one identity to one secret that would be decided otherwise."""

    identity: Opaque
    secret: Opaque
    """Zeros for what is about no secret."""
    denied: Number
    allowed: Number


class ReplayResult(Message, frozen=True, kw_only=True):
    """What came of a `PolicyReplay`; all numbers are 0 unless it is `done`."""

    replay_id: Id
    outcome: words.ReplayOutcome
    reached: Millis
    """Nothing older was looked at; the `since` that was asked for if all of it was."""
    records: Number
    accesses: Number
    unchanged: Number
    denied: Number
    """Allowed by the policies in force, and not by the candidate."""
    allowed: Number
    """The other way."""
    drifted: Number
    """What the policies in force decide otherwise than it is on record."""
    undecided: Annotated[tuple[UndecidedCount, ...], Meta(max_length=len(words.UndecidedReason))]
    changes: Annotated[tuple[ReplayChange, ...], Meta(max_length=MAX_REPLAY_CHANGES)]
    """The most frequent ones, if the agent's owner lets out opaque ids; else none."""

    def __post_init__(self) -> None:
        """Refuse a `reason`, or an `identity` with a `secret`, that comes twice (`ValueError`)."""
        for keys in (
            [one.reason for one in self.undecided],
            [(one.identity, one.secret) for one in self.changes],
        ):
            if len(set(keys)) != len(keys):
                raise ValueError("one thing comes twice")
