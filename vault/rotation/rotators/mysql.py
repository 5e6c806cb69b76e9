"""Two users of MySQL or MariaDB that take turns, MySQL's two passwords of one user, or one."""

from typing import Literal

from msgspec import Struct

from vault.rotation.rotator import RotationContext, RotationError, Rotator, RotatorKind, Value
from vault.rotation.rotators.dual_user import UserRotator, credentials, pair_of
from vault.rotation.targets.access import LOGIN, USER, failure
from vault.rotation.targets.names import mysql_host, mysql_name
from vault.rotation.targets.password import PasswordRules


class MysqlConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`user: app` stands for the users app_a and app_b in the mode `dual`.

    `host`: of the accounts. `role`: what both are granted, and have from the start of a session.
    `database`: with which the login is tried. `end_sessions`: retiring a user ends its sessions.
    `dual_password`: MySQL from 8.0.14 on keeps an account's old password beside the new one;
    MariaDB does not.
    """

    user: str = ""
    users: tuple[str, ...] = ()
    mode: Literal["dual", "dual_password", "single"] = "dual"
    host: str = "%"
    role: str = ""
    database: str = ""
    password: PasswordRules = PasswordRules()
    end_sessions: bool = False

    def __post_init__(self) -> None:
        for name in (*self.pair, *filter(None, [self.role])):
            mysql_name(name)
        mysql_host(self.host)

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
                if not self._accepts(context, value):
                    changed = session.identified(password)
                    session.run(f"ALTER USER {target} {changed} RETAIN CURRENT PASSWORD")
                return
            session.run(f"ALTER USER {target} {session.identified(password)}")
            if config.mode == "dual":
                session.run(f"ALTER USER {target} ACCOUNT UNLOCK")

    def _accepts(self, context: RotationContext, value: Value) -> bool:
        try:
            self.verify(context, value)
        except RotationError as error:
            if error.code != LOGIN:
                raise
            return False
        return True

    def verify(self, context: RotationContext, value: Value) -> None:
        """See `Rotator`."""
        from vault.rotation.targets.mysql import log_in

        config = self._config
        name, password = credentials(value, config.pair)
        log_in(context.access, name, config.host, password, config.database)

    def retire(self, context: RotationContext, value: Value) -> None:
        """See `Rotator`. In the mode `single` the new password has replaced this one already."""
        from vault.rotation.targets.mysql import account, administrator

        config = self._config
        if config.mode == "single":
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


KIND = RotatorKind("mysql", MysqlConfig, _make, overlaps=lambda config: config.mode != "single")
