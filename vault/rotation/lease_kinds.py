"""The kinds of leased users. Each imports its library when it is made."""

from typing import Final

from vault.rotation.leased_user import LeasedUserKind, LeasedUsers
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


POSTGRESQL_LEASES: Final = LeasedUserKind("postgresql", PostgresqlLeases, _postgresql)
MYSQL_LEASES: Final = LeasedUserKind("mysql", MysqlLeases, _mysql)
REDIS_LEASES: Final = LeasedUserKind("redis", RedisLeases, _redis)
