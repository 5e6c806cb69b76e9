"""Two passwords of one user of Redis: the new one is added, the old one removed later."""

from msgspec import Struct

from vault.rotation.rotator import RotationContext, Rotator, RotatorKind, Value
from vault.rotation.rotators.dual_user import UserRotator, credentials
from vault.rotation.targets.access import USER, failure
from vault.rotation.targets.names import check_redis_rules, redis_name
from vault.rotation.targets.password import PasswordRules


class RedisConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`rules`: with which a missing user is created, as of `ACL SETUSER`; empty: it must be there.

    `allow_unsaved`: Redis has no ACL file, so that it forgets the password when it restarts.
    """

    user: str
    rules: tuple[str, ...] = ()
    password: PasswordRules = PasswordRules()
    allow_unsaved: bool = False

    def __post_init__(self) -> None:
        redis_name(self.user)
        check_redis_rules(self.rules)

    @property
    def pair(self) -> tuple[str, ...]:
        """The one user."""
        return (self.user,)


class RedisRotator(UserRotator[RedisConfig]):
    """See `Rotator`."""

    def apply(self, context: RotationContext, value: Value) -> None:
        """See `Rotator`."""
        from vault.rotation.targets.redis import administrator, password_hash

        name, password = credentials(value, self._config.pair)
        with administrator(context.access) as session:
            is_there = session.exists(name)
            rules = () if is_there else self._config.rules
            if not rules and not is_there:
                raise failure(USER, f"Redis has no user {name!r}: create it, or set rules")
            session.change(name, context.fence, "on", f"#{password_hash(password)}", *rules)
            session.save(may_lose=self._config.allow_unsaved)

    def verify(self, context: RotationContext, value: Value) -> None:
        """See `Rotator`."""
        from vault.rotation.targets.redis import log_in

        name, password = credentials(value, self._config.pair)
        log_in(context.access, name, password)

    def retire(self, context: RotationContext, value: Value) -> None:
        """See `Rotator`. Sessions go on: Redis asks for a password only once."""
        from vault.rotation.targets.redis import administrator, password_hash

        name, password = credentials(value, self._config.pair)
        with administrator(context.access) as session:
            if session.has_password(name, password):
                session.change(name, context.fence, f"!{password_hash(password)}")
            if session.exists(name):
                session.save(may_lose=self._config.allow_unsaved)


def _make(config: RedisConfig) -> Rotator:
    return RedisRotator(config)


KIND = RotatorKind("redis", RedisConfig, _make, overlaps=lambda _: True)
