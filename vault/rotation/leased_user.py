"""Users that live as long as a lease: the interface of their targets, and the registry of kinds.

The engine persists a lease before it calls `create_user` and marks it revoked after `drop_user`.
The user's name follows from the lease's id alone, so that a crash between the two leaves nothing
that cannot be found again: each method comes to the same end when it is called once more.
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

import msgspec
from msgspec import Struct

from vault.crypto.digest import sha256
from vault.errors import ValidationError
from vault.rotation.rotator import TargetAccess, Value

DEFAULT_PREFIX: Final = "fh_"
_DIGITS: Final = 20  # of base 32: 100 bits
_PREFIX: Final = re.compile(r"[a-z][a-z0-9_]{0,10}_")
_SUFFIX: Final = re.compile(rf"[a-z2-7]{{{_DIGITS}}}")

C = TypeVar("C", bound=Struct)


@dataclass(frozen=True)
class LeasedUser:
    """A user to create. `expires` is a time in seconds since 1970."""

    lease_id: str
    password: str = field(repr=False)
    expires: int
    prefix: str = DEFAULT_PREFIX

    @property
    def name(self) -> str:
        """At the target. See `user_name`."""
        return user_name(self.prefix, self.lease_id)


class LeasedUsers(Protocol):
    """The leased users of one role at one target. Everything blocks, in a thread of its own.

    Each method raises `RotationError`, and nothing else that is expected.
    """

    def create_user(self, access: TargetAccess, user: LeasedUser) -> Value:
        """Create the user with its password and permissions; returns what its client gets.

        A user of that name that exists already gets this password and this expiry.
        """
        ...

    def renew_user(self, access: TargetAccess, name: str, expires: int) -> None:
        """Move the expiry where the target knows one. Raises `RotationError` (`user_missing`)."""
        ...

    def drop_user(self, access: TargetAccess, name: str) -> None:
        """End the user's sessions and remove it, with what it owns. One that is gone is fine."""
        ...

    def list_users(self, access: TargetAccess, prefix: str) -> list[str]:
        """The names of the leased users at the target, sorted, 20,000 at most."""
        ...


@dataclass(frozen=True)
class LeasedUserKind(Generic[C]):
    """A kind of target: its name, the shape of a role's settings, and how to make one.

    `check` logs in as the administrator. `any_role` are settings that find users, whatever role
    has made them.
    """

    name: str
    config: type[C]
    make: Callable[[C], LeasedUsers]
    check: Callable[[TargetAccess], None]
    any_role: C

    def parse(self, config: Mapping[str, object]) -> C:
        """The settings. Raises `ValidationError` (`lease_config`)."""
        try:
            return msgspec.convert(config, self.config)
        except (msgspec.ValidationError, ValueError) as error:
            raise ValidationError(
                "lease_config", f"{self.name}: {error}", field="lease_config"
            ) from None


def user_name(prefix: str, lease_id: str) -> str:
    """The name of a lease's user: at most 32 characters, which each server takes.

    It is a digest, since an id may be longer. Raises `ValueError` for the prefix.
    """
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(
            "a prefix has 2 to 12 characters of a-z, 0-9 and _, begins with a letter, ends with _"
        )
    digest = base64.b32encode(sha256(lease_id.encode())).decode().lower()
    return prefix + digest[:_DIGITS]


def is_leased(name: str, prefix: str = "") -> bool:
    """Whether a name is one that `user_name` gives, with this prefix or with any."""
    found = prefix or name[:-_DIGITS]
    return (
        name.startswith(found)
        and bool(_PREFIX.fullmatch(found))
        and bool(_SUFFIX.fullmatch(name[len(found) :]))
    )
