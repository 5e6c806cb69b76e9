"""Two users of PostgreSQL that take turns, or the password of one."""

from typing import Any

from msgspec import Struct

from vault.rotation.rotator import RotationContext, Rotator, RotatorKind, Value
from vault.rotation.rotators.dual_user import Mode, UserRotator, credentials, pair_of
from vault.rotation.targets.access import USER, failure
from vault.rotation.targets.names import postgresql_name
from vault.rotation.targets.password import PasswordRules


class PostgresqlConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`user: app` stands for the users app_a and app_b, unless the mode is `single`.

    `owner`: a role that both are members of and that their sessions run as (`ALTER ROLE … SET
    role`), so that whatever either creates belongs to it. `member_of`: further roles. `database`:
    where the login is tried; empty: the one of the connection's URL. `end_sessions`: retiring a
    user ends its sessions, which otherwise go on until they disconnect.
    """

    user: str = ""
    users: tuple[str, ...] = ()
    mode: Mode = "dual"
    owner: str = ""
    member_of: tuple[str, ...] = ()
    database: str = ""
    password: PasswordRules = PasswordRules()
    end_sessions: bool = False

    def __post_init__(self) -> None:
        for name in (*self.pair, *self.member_of, *filter(None, [self.owner])):
            postgresql_name(name)

    @property
    def pair(self) -> tuple[str, ...]:
        """The users."""
        return pair_of(self.users, self.user, self.mode)


class PostgresqlRotator(UserRotator[PostgresqlConfig]):
    """See `Rotator`. Each step is one transaction, with the fence in the user's comment."""

    def apply(self, context: RotationContext, value: Value) -> None:
        """See `Rotator`. A user of the dual mode is created if it is missing."""
        from vault.rotation.targets.postgresql import administrator

        config = self._config
        name, password = credentials(value, config.pair)
        roles = (*config.member_of, *filter(None, [config.owner]))
        with administrator(context.access) as session, session.change(name):
            _require_user(session, name, may_create=config.mode == "dual")
            session.require_fence(name, context.fence)
            if config.mode == "dual":
                session.add_to(name, roles)
                if config.owner:
                    session.act_as(name, config.owner)
            session.set_password(name, password)

    def verify(self, context: RotationContext, value: Value) -> None:
        """See `Rotator`."""
        from vault.rotation.targets.postgresql import log_in

        name, password = credentials(value, self._config.pair)
        log_in(context.access, name, password, self._config.database)

    def retire(self, context: RotationContext, value: Value) -> None:
        """See `Rotator`. In the mode `single` the new password has replaced this one already."""
        from vault.rotation.targets.postgresql import administrator

        if self._config.mode == "single":
            return
        name, _ = credentials(value, self._config.pair)
        with administrator(context.access) as session:
            with session.change(name):
                if not session.exists(name):
                    return
                session.require_fence(name, context.fence)
                session.disable(name)
            if self._config.end_sessions:
                session.end_sessions(name)


def _require_user(session: Any, name: str, *, may_create: bool) -> None:
    if session.exists(name):
        return
    if not may_create:
        raise failure(USER, f"the server has no user {name!r}: create it")
    session.create(name)


def _make(config: PostgresqlConfig) -> Rotator:
    return PostgresqlRotator(config)


KIND = RotatorKind(
    "postgresql", PostgresqlConfig, _make, overlaps=lambda config: config.mode == "dual"
)
