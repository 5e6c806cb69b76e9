"""Where the uplink and the open data path meet: what each lends the other. Frozen or none."""

from msgspec import Struct


class PolicyTrust(Struct, frozen=True):
    """Whose bundles count: the agent's own names, and the policy key that it was enrolled with."""

    org: str
    vault: str
    key: bytes


class InForce(Struct, frozen=True):
    """The bundle that counts; version 0 for none. `narrowed`: rules that the ceiling cuts.

    `expires`: Unix milliseconds.
    """

    version: int
    hash: bytes
    expires: int
    narrowed: int
