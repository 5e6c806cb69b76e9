"""Two users of PostgreSQL that take turns, or the password of one."""

from typing import Any, Final

from msgspec import Struct

from vault.rotation.rotator import RotationContext, Rotator, RotatorKind, Value
from vault.rotation.rotators.dual_user import Mode, UserRotator, accepts, credentials, pair_of
from vault.rotation.targets import templates
from vault.rotation.targets.access import USER, failure
from vault.rotation.targets.names import postgresql_name
from vault.rotation.targets.password import PasswordRules

_PLACEHOLDERS: Final = templates.IDENTIFIERS | {"password"}


class PostgresqlConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`user: app` stands for the users app_a and app_b, if the mode is `dual`.

    `single`: the password of that user. `self`: it is the administrator of the connection, whose
    secret is the one that is rotated. `statements` set the password in these two modes.
    `owner`: a role that both are members of and that their sessions run as (`ALTER ROLE … SET
    role`), so that whatever either creates belongs to it. `member_of`: further roles. `database`:
    where the login is tried; empty: the one of the connection's URL. `end_sessions`: retiring a
    user ends its sessions, which otherwise go on until they disconnect.
    """

    user: str = ""
    users: tuple[str, ...] = ()
    mode: Mode = "dual"
    statements: tuple[str, ...] = ()
    owner: str = ""
    member_of: tuple[str, ...] = ()
    database: str = ""
    password: PasswordRules = PasswordRules()
    end_sessions: bool = False

    def __post_init__(self) -> None:
        for name in (*self.pair, *self.member_of, *filter(None, [self.owner])):
            postgresql_name(name)
        templates.check(self.statements, templates.POSTGRESQL, _PLACEHOLDERS)
        if self.statements and self.mode == "dual":
            raise ValueError("statements are for the modes single and self")

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
        if config.mode == "self":
            self._apply_to_itself(context, value)
            return
        roles = (*config.member_of, *filter(None, [config.owner]))
        with administrator(context.access) as session, session.change(name):
            _require_user(session, name, may_create=config.mode == "dual")
            session.require_fence(name, context.fence)
            if config.mode == "dual":
                session.add_to(name, roles)
                if config.owner:
                    session.act_as(name, config.owner)
            self._set_password(session, name, password)

    def _apply_to_itself(self, context: RotationContext, value: Value) -> None:
        """The old password lets in whoever sets the new one, so no fence is needed as well."""
        from vault.rotation.targets.postgresql import administrator

        if accepts(self, context, value):
            return  # a step that is repeated: the old password is gone
        name, password = credentials(value, self._config.pair)
        with administrator(context.access) as session, session.change(name):
            self._set_password(session, name, password)

    def _set_password(self, session: Any, name: str, password: str) -> None:
        if not self._config.statements:
            is_own = self._config.mode == "self"
            set_ = session.set_own_password if is_own else session.set_password
            set_(name, password)
        values = {"name": name, "username": name, "password": session.verifier(password)}
        for statement in self._config.statements:
            session.run(templates.fill(statement, templates.POSTGRESQL, values))

    def verify(self, context: RotationContext, value: Value) -> None:
        """See `Rotator`."""
        from vault.rotation.targets.postgresql import log_in

        name, password = credentials(value, self._config.pair)
        log_in(context.access, name, password, self._config.database)

    def retire(self, context: RotationContext, value: Value) -> None:
        """See `Rotator`. But in the mode `dual` the new password has replaced this one already."""
        from vault.rotation.targets.postgresql import administrator

        if self._config.mode != "dual":
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
