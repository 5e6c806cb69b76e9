"""What rotators with two users have in common: which of them is next."""

from typing import Generic, Literal, Protocol, TypeVar

from vault.rotation.rotator import RotationContext, RotationError, Value
from vault.rotation.targets.password import PasswordRules

Mode = Literal["dual", "single"]


class UserConfig(Protocol):
    """Settings of a rotator of users."""

    @property
    def pair(self) -> tuple[str, ...]:
        """The users, or the one user."""
        ...

    @property
    def password(self) -> PasswordRules:
        """How their passwords are generated."""
        ...


C = TypeVar("C", bound=UserConfig)


class UserRotator(Generic[C]):
    """What `Rotator.create` is for all of them."""

    def __init__(self, config: C) -> None:
        self._config = config

    def create(self, context: RotationContext, previous: Value) -> Value:
        """See `Rotator`: a new password for the user that the previous value does not name."""
        users = self._config.pair
        name = users[-1] if previous.get("username") == users[0] else users[0]
        return {"username": name, "password": self._config.password.generate(context.random)}


def pair_of(users: tuple[str, ...], user: str, mode: str) -> tuple[str, ...]:
    """The users of a configuration. Raises `ValueError`."""
    if bool(users) == bool(user):
        raise ValueError("needs either user or users")
    if mode == "single":
        if not user:
            raise ValueError("the mode single needs user")
        return (user,)
    pair = users or (f"{user}_a", f"{user}_b")
    if len(pair) != 2 or pair[0] == pair[1]:  # noqa: PLR2004
        raise ValueError("users are two different ones")
    return pair


def credentials(value: Value, users: tuple[str, ...]) -> tuple[str, str]:
    """User and password. Raises `RotationError` for a user that is not of this rotator."""
    name, password = value.get("username", ""), value.get("password", "")
    if name not in users or not password:
        raise RotationError(
            "value_invalid",
            "the value has no password, or names a user that the rotator's settings do not name",
            is_final=True,
        )
    return name, password
