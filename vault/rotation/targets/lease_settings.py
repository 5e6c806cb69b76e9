"""The settings of a role of leased users, by the kind of target."""

from typing import Final

from msgspec import Struct

from vault.rotation.targets import templates
from vault.rotation.targets.names import (
    check_redis_rules,
    mysql_host,
    mysql_name,
    postgresql_name,
)

_POSTGRESQL: Final = frozenset({"name", "username", "password", "expiration"})
_MYSQL: Final = _POSTGRESQL | {"password_hash"}


class PostgresqlLeases(Struct, frozen=True, forbid_unknown_fields=True):
    """How users are created: by membership in roles, or by an operator's statements.

    `reassign_to` becomes the owner of what a user leaves behind; empty: the administrator.
    """

    roles: tuple[str, ...] = ()
    creation_statements: tuple[str, ...] = ()
    revocation_statements: tuple[str, ...] = ()
    reassign_to: str = ""

    def __post_init__(self) -> None:
        if bool(self.roles) == bool(self.creation_statements):
            raise ValueError("needs either roles or creation_statements")
        for role in (*self.roles, *filter(None, [self.reassign_to])):
            postgresql_name(role)
        templates.check(self.creation_statements, templates.POSTGRESQL, _POSTGRESQL)
        templates.check(self.revocation_statements, templates.POSTGRESQL, templates.IDENTIFIERS)


class MysqlLeases(Struct, frozen=True, forbid_unknown_fields=True):
    """How users are created: with a role, or by statements. `host`: of the account."""

    role: str = ""
    host: str = "%"
    creation_statements: tuple[str, ...] = ()
    revocation_statements: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.role) == bool(self.creation_statements):
            raise ValueError("needs either role or creation_statements")
        mysql_host(self.host)
        if self.role:
            mysql_name(self.role)
        templates.check(self.creation_statements, templates.MYSQL, _MYSQL)
        templates.check(self.revocation_statements, templates.MYSQL, templates.IDENTIFIERS)


class RedisLeases(Struct, frozen=True, forbid_unknown_fields=True):
    """`rules`: as of `ACL SETUSER`; in them `{{name}}` is the user's name.

    `allow_unsaved`: Redis has no ACL file, so its users end when it restarts.
    """

    rules: tuple[str, ...]
    allow_unsaved: bool = False

    def __post_init__(self) -> None:
        if not self.rules:
            raise ValueError("needs rules")
        check_redis_rules(self.rules)
