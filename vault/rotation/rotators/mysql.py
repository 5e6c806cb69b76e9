"""Two users of MySQL or MariaDB that take turns, MySQL's two passwords of one user, or one."""

from typing import Any, Final, Literal

from msgspec import Struct

from vault.rotation.rotator import RotationContext, Rotator, RotatorKind, Value
from vault.rotation.rotators.dual_user import UserRotator, accepts, credentials, pair_of
from vault.rotation.targets import templates
from vault.rotation.targets.access import USER, failure
from vault.rotation.targets.names import mysql_host, mysql_name
from vault.rotation.targets.password import PasswordRules

_ONE_USER: Final = frozenset({"single", "self"})
_PLACEHOLDERS: Final = templates.IDENTIFIERS | {"password", "password_hash"}


class MysqlConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`user: app` stands for the users app_a and app_b in the mode `dual`.

    `host`: of the accounts. `role`: what both are granted, and have from the start of a session.
    `database`: with which the login is tried. `end_sessions`: retiring a user ends its sessions.
    `dual_password`: MySQL from 8.0.14 on keeps an account's old password beside the new one;
    MariaDB does not. `single`: the password of that user. `self`: it is the administrator of the
    connection, whose secret is the one that is rotated. `statements` set the password in these two.
    """

    user: str = ""
    users: tuple[str, ...] = ()
    mode: Literal["dual", "dual_password", "single", "self"] = "dual"
    statements: tuple[str, ...] = ()
    host: str = "%"
    role: str = ""
    database: str = ""
    password: PasswordRules = PasswordRules()
    end_sessions: bool = False

    def __post_init__(self) -> None:
        for name in (*self.pair, *filter(None, [self.role])):
            mysql_name(name)
        mysql_host(self.host)
        templates.check(self.statements, templates.MYSQL, _PLACEHOLDERS)
        if self.statements and self.mode not in _ONE_USER:
            raise ValueError("statements are for the modes single and self")

    @property
    def pair(self) -> tuple[str, ...]:
        """The users."""
        return pair_of(self.users, self.user, "dual" if self.mode == "dual" else "single")


class MysqlRotator(UserRotator[MysqlConfig]):
    """See `Rotator`. Each statement commits by itself, and may be repeated."""

    def apply(self, context: RotationContext, value: Value) -> None:
        """See `Rotator`. A user of the dual mode is created, locked at first, if it is missing."""
        from vault.rotation.targets.mysql import account, administrator

        config = self._config
        name, password = credentials(value, config.pair)
        if config.mode == "self":
            self._apply_to_itself(context, value)
            return
        target = account(name, config.host)
        with administrator(context.access) as session, session.change(name):
            if config.mode == "dual_password" and session.is_mariadb:
                raise failure(
                    "mode_unsupported", "MariaDB keeps no second password: use the mode dual"
                )
            if config.mode != "dual" and not session.exists(name, config.host):
                raise failure(USER, f"the server has no user {name!r} of this host: create it")
            session.require_fence(name, config.host, context.fence)
            if config.mode == "dual":
                session.run(
                    f"CREATE USER IF NOT EXISTS {target} {session.identified(password)} "
                    "ACCOUNT LOCK"
                )
                if config.role:
                    session.set_role(name, config.host, config.role)
            # A second RETAIN would make the new password the old one.
            if config.mode == "dual_password":
                if not accepts(self, context, value):
                    changed = session.identified(password)
                    session.run(f"ALTER USER {target} {changed} RETAIN CURRENT PASSWORD")
                return
            self._set_password(session, name, config.host, password)
            if config.mode == "dual":
                session.run(f"ALTER USER {target} ACCOUNT UNLOCK")

    def _apply_to_itself(self, context: RotationContext, value: Value) -> None:
        """The old password lets in whoever sets the new one, so no fence is needed as well."""
        from vault.rotation.targets.mysql import administrator

        if accepts(self, context, value):
            return  # a step that is repeated: the old password is gone
        name, password = credentials(value, self._config.pair)
        with administrator(context.access) as session, session.change(name):
            self._set_password(session, name, session.own_host(), password)

    def _set_password(self, session: Any, name: str, host: str, password: str) -> None:
        from vault.rotation.targets.mysql import account

        if not self._config.statements:
            session.run(f"ALTER USER {account(name, host)} {session.identified(password)}")
        values = {
            "name": name,
            "username": name,
            "password": password,
            "password_hash": session.native_verifier(password),
        }
        for statement in self._config.statements:
            session.run(templates.fill(statement, templates.MYSQL, values))

    def verify(self, context: RotationContext, value: Value) -> None:
        """See `Rotator`."""
        from vault.rotation.targets.mysql import log_in

        config = self._config
        name, password = credentials(value, config.pair)
        host = "" if config.mode == "self" else config.host
        log_in(context.access, name, host, password, config.database)

    def retire(self, context: RotationContext, value: Value) -> None:
        """See `Rotator`. With one password of one user the new one has replaced it already."""
        from vault.rotation.targets.mysql import account, administrator

        config = self._config
        if config.mode in _ONE_USER:
            return
        name, _ = credentials(value, config.pair)
        target = account(name, config.host)
        with administrator(context.access) as session, session.change(name):
            if not session.exists(name, config.host):
                return
            session.require_fence(name, config.host, context.fence)
            if config.mode == "dual_password":
                session.run(f"ALTER USER {target} DISCARD OLD PASSWORD")
                return
            lost = PasswordRules().generate(context.random)
            session.run(f"ALTER USER {target} {session.identified(lost)}")
            session.run(f"ALTER USER {target} ACCOUNT LOCK")
            if config.end_sessions:
                session.end_sessions(name)


def _make(config: MysqlConfig) -> Rotator:
    return MysqlRotator(config)


KIND = RotatorKind(
    "mysql", MysqlConfig, _make, overlaps=lambda config: config.mode not in _ONE_USER
)
