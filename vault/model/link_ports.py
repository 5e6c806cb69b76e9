"""Where the control link and the open data path meet: what each lends the other. Frozen or none."""

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct


class PolicyTrust(Struct, frozen=True):
    """Whose bundles count: the agent's own names, and the policy key that it was enrolled with."""

    org: str
    vault: str
    key: bytes
    authority: str = ""
    """The pin of the control plane's authority at enrolment; empty if that was not noted."""


class ActiveBundle(Struct, frozen=True):
    """The bundle that counts; version 0 for none. `narrowed`: rules that the ceiling cuts.

    `expires`: Unix milliseconds.
    """

    version: int
    hash: bytes
    expires: int
    narrowed: int


class KekState(Struct, frozen=True):
    """What the control plane is told of the key-encryption key: never which, only how often.

    `rotations`: how often it was changed since the vault was made. `due`: it has reached its age
    or its number of uses.
    """

    rotations: int
    due: bool


ReadKekState: TypeAlias = Callable[[], KekState]
"""As of now, while the vault is open."""
