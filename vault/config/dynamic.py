"""Dynamic credentials: how many, and how long dropping a user is tried before somebody looks."""

from pydantic import Field

from protocols.settings.field_types import Section


class DynamicSettings(Section):
    """`max_leases`: of all clients. `revoke_attempts`: until a lease counts as irrevocable."""

    max_leases: int = Field(default=100_000, ge=1, le=1_000_000)
    max_leases_per_client: int = Field(default=1_000, ge=1, le=1_000_000)
    revoke_attempts: int = Field(default=12, ge=1, le=100)
