"""The kinds of leased users. Each imports its library when it is made."""

from collections.abc import Mapping
from typing import Any, Final

from vault.rotation.leased_user import LeasedUserKind, LeasedUsers
from vault.rotation.rotator import TargetAccess
from vault.rotation.targets.lease_settings import MysqlLeases, PostgresqlLeases, RedisLeases


def _postgresql(config: PostgresqlLeases) -> LeasedUsers:
    from vault.rotation.targets.postgresql import PostgresqlLeasedUsers

    return PostgresqlLeasedUsers(config)


def _mysql(config: MysqlLeases) -> LeasedUsers:
    from vault.rotation.targets.mysql import MysqlLeasedUsers

    return MysqlLeasedUsers(config)


def _redis(config: RedisLeases) -> LeasedUsers:
    from vault.rotation.targets.redis import RedisLeasedUsers

    return RedisLeasedUsers(config)


def _check_postgresql(access: TargetAccess) -> None:
    from vault.rotation.targets.postgresql import administrator

    with administrator(access):
        pass


def _check_mysql(access: TargetAccess) -> None:
    from vault.rotation.targets.mysql import administrator

    with administrator(access):
        pass


def _check_redis(access: TargetAccess) -> None:
    from vault.rotation.targets.redis import administrator

    with administrator(access):
        pass


POSTGRESQL_LEASES: Final = LeasedUserKind(
    "postgresql",
    PostgresqlLeases,
    _postgresql,
    _check_postgresql,
    PostgresqlLeases(roles=("any",)),
)
MYSQL_LEASES: Final = LeasedUserKind(
    "mysql", MysqlLeases, _mysql, _check_mysql, MysqlLeases(role="any")
)
REDIS_LEASES: Final = LeasedUserKind(
    "redis", RedisLeases, _redis, _check_redis, RedisLeases(rules=("+ping",))
)
LEASE_KINDS: Final[Mapping[str, LeasedUserKind[Any]]] = {
    kind.name: kind for kind in (POSTGRESQL_LEASES, MYSQL_LEASES, REDIS_LEASES)
}
