"""What was used, told without a name: operations by their words, the rest by opaque ids."""

from typing import Annotated

from msgspec import Meta

from protocols.link import vocabulary as words
from protocols.link.fields import Millis, Number, Opaque
from protocols.link.limits import MAX_IDENTITIES, MAX_NAMED
from protocols.link.message import Message

Classes = Annotated[
    tuple[Number, ...],
    Meta(min_length=len(words.USAGE_DAYS) + 1, max_length=len(words.USAGE_DAYS) + 1),
]
"""How many secrets are in each of `USAGE_DAYS` (not cumulative), and above."""


class OperationUse(Message, frozen=True, kw_only=True):
    """How often an operation was asked for; `failed`: refusals and failures among them."""

    name: words.OperationName
    count: Number
    failed: Number


class SecretUse(Message, frozen=True, kw_only=True):
    """One secret; times are 0 for never. `reads`: of its value, in the report's time."""

    secret: Opaque
    reads: Number
    last_read: Millis
    rotated_at: Millis
    """When its current version was written."""
    expires_at: Millis


class IdentityUse(Message, frozen=True, kw_only=True):
    """How often one identity was let in."""

    identity: Opaque
    count: Number


class Secrets(Message, frozen=True, kw_only=True):
    """All secrets, counted at `at`; all 0 before the first look."""

    at: Millis
    total: Number
    never_read: Number
    expired: Number
    idle: Classes
    """By the time since their value was last read, or since they were made."""
    age: Classes
    """By the age of their current version."""
    expires: Classes
    """Those that will expire, by how soon."""


class Usage(Message, frozen=True, kw_only=True):
    """What was used from `since` on, within one clock hour. A later `until` replaces an earlier."""

    since: Millis
    until: Millis
    operations: Annotated[tuple[OperationUse, ...], Meta(max_length=len(words.OperationName))]
    secrets: Secrets
    named: Annotated[tuple[SecretUse, ...], Meta(max_length=MAX_NAMED)]
    identities: Annotated[tuple[IdentityUse, ...], Meta(max_length=MAX_IDENTITIES)]

    def __post_init__(self) -> None:
        """Refuse a `name`, `secret` or `identity` that comes twice in its array (`ValueError`)."""
        for keys in (
            [one.name for one in self.operations],
            [one.secret for one in self.named],
            [one.identity for one in self.identities],
        ):
            if len(set(keys)) != len(keys):
                raise ValueError("one thing comes twice")
