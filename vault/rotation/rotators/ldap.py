"""Two entries of a directory that take turns, or the password of one."""

import re
from typing import Final

from msgspec import Struct

from vault.rotation.rotator import RotationContext, Rotator, RotatorKind, Value
from vault.rotation.rotators.dual_user import Mode, UserRotator, credentials, pair_of
from vault.rotation.targets.password import PasswordRules

_ATTRIBUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,60}|")


class LdapConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`users`: the distinguished names of two entries, or `user`: of one with the mode `single`.

    `active_directory`: the password is written as `unicodePwd`, which needs TLS, instead of by the
    operation of RFC 3062. `fence_attribute`: an attribute with several values of the entries for
    the fence; empty: none, so that a stale agent is not held off.
    """

    user: str = ""
    users: tuple[str, ...] = ()
    mode: Mode = "dual"
    active_directory: bool = False
    fence_attribute: str = "description"
    password: PasswordRules = PasswordRules()

    def __post_init__(self) -> None:
        from vault.rotation.targets.ldap import check_dn

        if self.mode == "dual" and self.user:
            raise ValueError("the mode dual needs users, which are the names of two entries")
        for dn in self.pair:
            check_dn(dn)
        if not _ATTRIBUTE.fullmatch(self.fence_attribute):
            raise ValueError("fence_attribute is no name of an attribute")

    @property
    def pair(self) -> tuple[str, ...]:
        """The entries."""
        return pair_of(self.users, self.user, self.mode)


class LdapRotator(UserRotator[LdapConfig]):
    """See `Rotator`. The entries must exist."""

    def apply(self, context: RotationContext, value: Value) -> None:
        """See `Rotator`."""
        dn, password = credentials(value, self._config.pair)
        self._set(context, dn, password)

    def verify(self, context: RotationContext, value: Value) -> None:
        """See `Rotator`."""
        from vault.rotation.targets.ldap import log_in

        dn, password = credentials(value, self._config.pair)
        log_in(context.access, dn, password)

    def retire(self, context: RotationContext, value: Value) -> None:
        """See `Rotator`: a password that nobody keeps takes its place."""
        if self._config.mode == "single":
            return
        dn, _ = credentials(value, self._config.pair)
        self._set(context, dn, PasswordRules().generate(context.random))

    def _set(self, context: RotationContext, dn: str, password: str) -> None:
        from vault.rotation.targets.ldap import administrator

        with administrator(context.access) as session:
            session.set_password(
                dn,
                password,
                fence=context.fence,
                attribute=self._config.fence_attribute,
                is_active_directory=self._config.active_directory,
            )


def _make(config: LdapConfig) -> Rotator:
    return LdapRotator(config)


KIND = RotatorKind("ldap", LdapConfig, _make, overlaps=lambda config: config.mode == "dual")
