"""The kinds for databases and directories."""

from vault.rotation.rotator import Rotators
from vault.rotation.rotators import ldap, mysql, postgresql, redis


def register_databases(rotators: Rotators) -> None:
    """Add them all; each imports its library when it is used."""
    rotators.register(postgresql.KIND)
    rotators.register(mysql.KIND)
    rotators.register(redis.KIND)
    rotators.register(ldap.KIND)
