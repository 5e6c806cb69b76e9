"""Policies, versions, targets, roll-outs, assignments."""

from enum import StrEnum
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from control.model.names import Slug, Tag

MAX_TARGETS: Final = 100
MAX_STEPS: Final = 20


class Target(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Agents by name, by tag, or all of the organization: exactly one of these."""

    vault: Slug | None = None
    tag: Tag | None = None
    all: bool = False


class Policy(Struct, frozen=True):
    """A named policy. `stable` is the version for everybody whom no roll-out says otherwise."""

    org: str
    name: str
    head: int
    stable: int
    targets: tuple[Target, ...]
    created_at: int
    changed_at: int


class PolicyVersion(Struct, frozen=True):
    """One document, never changed."""

    org: str
    name: str
    version: int
    document: Any
    """The agent's own policy document (`docs/reference/policies.md`)."""
    comment: str
    created_by: str
    created_at: int


class RolloutState(StrEnum):
    """Where a roll-out is."""

    RUNNING = "running"
    HALTED = "halted"
    DONE = "done"
    ROLLED_BACK = "rolled_back"


Percent = Annotated[int, Meta(ge=1, le=100)]


class Plan(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How far to go, step by step, and when to stop.

    First `canary` agents, then `percentages` of all that are targeted, rounded up; the last step is
    always everybody. `automatic`: the next step begins when all of this one have applied; else a
    person says so. More than `max_failures` agents that refuse halt it.
    """

    canary: Annotated[int, Meta(ge=0, le=100_000)] = 0
    percentages: Annotated[tuple[Percent, ...], Meta(max_length=MAX_STEPS)] = ()
    automatic: bool = True
    max_failures: Annotated[int, Meta(ge=0, le=100_000)] = 0


class Rollout(Struct, frozen=True):
    """One version on its way. `previous` is what the others keep, 0 if nothing.

    An agent that only `targets` match gets the version when a step reaches it. One that only
    `previous_targets` match keeps the stable version until the roll-out is done.
    """

    id: str
    org: str
    policy: str
    version: int
    previous: int
    plan: Plan
    step: int
    state: RolloutState
    reason: str
    created_by: str
    created_at: int
    changed_at: int
    owner: str = ""
    """The account by whose authority it runs: the last that advanced it; empty: `created_by`."""
    targets: tuple[Target, ...] | None = None
    """What the roll-out gives its policy; None leaves them."""
    previous_targets: tuple[Target, ...] | None = None


class Outcome(StrEnum):
    """How far the bundle that an agent should have has come."""

    WANTED = "wanted"
    APPLIED = "applied"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """The agent says that it enforces a version that cannot have been issued to it."""


PENDING_OUTCOMES: Final = frozenset({Outcome.WANTED, Outcome.UNKNOWN})
"""Outcomes of which a roll-out waits for another."""


class AssignmentState(Struct, frozen=True):
    """What an agent should have and has: `contents` maps each policy to its version."""

    org: str
    vault: str
    version: int
    """Of the bundle: grows with every change for this agent, and never goes back."""
    contents: dict[str, int]
    digest: bytes
    outcome: Outcome
    reason: str
    applied: int
    """The version that the agent said it enforces; 0 for none."""
    changed_at: int


class SignedAssignment(AssignmentState, frozen=True):
    """The same with the signature of its bundle."""

    signature: bytes


class Assignment(AssignmentState, frozen=True):
    """The same with the bytes of its bundle."""

    bundle: bytes
