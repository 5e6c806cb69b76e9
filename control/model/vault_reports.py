"""What agents report of their vaults. The nodes of a vault report the same; one of them counts."""

from msgspec import Struct


class ReportRecord(Struct, frozen=True):
    """The report of one agent, as it is stored."""

    org: str
    vault: str


def vault_key(name: str, vault_id: str) -> str:
    """What the nodes of a vault have in common; of an agent that says no vault its own name."""
    return f"={vault_id}" if vault_id else name  # no name has a "="
