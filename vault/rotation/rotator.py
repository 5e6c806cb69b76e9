"""What changes a credential at its target: the interface of a rotator, and the registry of them.

A rotator is one file with four methods. The engine calls them in the order create, apply, verify,
and, once every application has the new value, retire. It persists each step before the next one
begins, so after a crash any method but `create` is called again with the same arguments: each of
them must come to the same end when it has been done already, in whole or in part.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from importlib.metadata import entry_points
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
from msgspec import Struct

from actors.world import SystemWorld
from protocols.msgspec_init import prepare_structs
from vault.errors import ConflictError, NotFoundError, SetupError, ValidationError

_PACKAGE: Final = "vault.rotation."
ENTRY_POINTS: Final = "freehold.rotators"
"""The group of entry points by which other packages bring rotators; each loads a `RotatorKind`."""

Value = Mapping[str, str]
"""What a secret holds: the names of its fields, such as `username` and `password`, and them."""

C = TypeVar("C", bound=Struct)


@unique
class Step(StrEnum):
    """The methods of a rotator."""

    CREATE = "create"
    APPLY = "apply"
    VERIFY = "verify"
    RETIRE = "retire"


class RotationError(Exception):
    """A step has failed. `text` tells a person what to do, and holds nothing of a value.

    `is_final`: it fails again however often it is tried, until somebody changes something.
    """

    def __init__(self, code: str, text: str, *, is_final: bool = False) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.is_final = is_final


@dataclass(frozen=True)
class TargetAccess:
    """What lets the agent in at a target, and how long one operation there may take.

    `timeout`: seconds for all of it; `clock`: seconds, of which only differences mean anything.
    """

    connection: Value = field(repr=False)
    timeout: float
    clock: Callable[[], float] = field(default=SystemWorld().uptime, repr=False)


@dataclass(frozen=True)
class RotationContext:
    """One rotation, as its rotator sees it.

    `connection`: what lets it in at the target (address, administrator, password, certificates);
    the agent reads it from a secret of its own at each step. `fence` grows with each rotation of
    the secret and with each agent that takes over: a target that can compare numbers refuses a
    lower one. `key` names the rotation and the step, for a target that knows idempotency keys.
    `timeout` (seconds on `clock`) bounds the step, and `random` is the only source of chance.
    """

    rotation: str
    fence: int
    timeout: float
    connection: Value = field(repr=False)
    random: Callable[[int], bytes] = field(repr=False)
    clock: Callable[[], float] = field(default=SystemWorld().uptime, repr=False)

    @property
    def access(self) -> TargetAccess:
        """What code needs that leases use as well; the timeout begins when it connects."""
        return TargetAccess(self.connection, self.timeout, self.clock)

    def key(self, step: Step) -> str:
        """The idempotency key of a step."""
        return f"{self.rotation}:{step}"


class Rotator(Protocol):
    """Made for one step of one rotation. Everything blocks, in a thread of its own.

    Each method raises `RotationError`, and nothing else that is expected.
    """

    def create(self, context: RotationContext, previous: Value) -> Value:
        """A new value; `previous` is empty the first time. Changes nothing at the target."""
        ...

    def apply(self, context: RotationContext, value: Value) -> None:
        """Make the target accept the value. The previous one goes on working if that can be."""
        ...

    def verify(self, context: RotationContext, value: Value) -> None:
        """Log in at the target with the value, as an application would."""
        ...

    def retire(self, context: RotationContext, value: Value) -> None:
        """Make the target refuse this value, which a newer one has replaced."""
        ...


@dataclass(frozen=True)
class RotatorKind(Generic[C]):
    """A kind of rotator: its name in policies, the shape of its settings, and how to make one.

    `overlaps`: between apply and retire the target accepts the old and the new value. Only such a
    rotator keeps every application working throughout.
    """

    name: str
    config: type[C]
    make: Callable[[C], Rotator]
    overlaps: Callable[[C], bool]

    def parse(self, config: Mapping[str, object]) -> C:
        """The settings. Raises `ValidationError` (`rotator_config`), which names the field."""
        try:
            return msgspec.convert(config, self.config)
        except (msgspec.ValidationError, ValueError) as error:
            raise ValidationError(
                "rotator_config", f"{self.name}: {error}", field="rotator_config"
            ) from None


class Rotators:
    """The kinds that an agent knows. Belongs to the event loop."""

    def __init__(self) -> None:
        self._kinds: dict[str, RotatorKind[Any]] = {}
        self._unloaded: dict[str, Callable[[], RotatorKind[Any]]] = {}

    def register(self, kind: RotatorKind[C]) -> None:
        """Add a kind. Raises `ConflictError` (`rotator_exists`)."""
        self._require_new(kind.name)
        self._kinds[kind.name] = kind

    def register_lazily(self, name: str, load: Callable[[], RotatorKind[Any]]) -> None:
        """Add a kind that is loaded when it is first used. Raises as `register`."""
        self._require_new(name)
        self._unloaded[name] = load

    def register_entry_points(self) -> None:
        """Add those of other packages, which run with all that the agent may do.

        Raises `SetupError` (`rotator_unloadable`), `ConflictError` (`rotator_exists`).
        """
        for entry in sorted(entry_points(group=ENTRY_POINTS)):
            try:
                kind = entry.load()
            except Exception as error:  # whatever another package does when it is imported
                raise SetupError(
                    "rotator_unloadable",
                    f"the rotator {entry.name!r} ({entry.value}) cannot be loaded: {error}",
                ) from error
            self.register(kind)

    def get(self, name: str) -> RotatorKind[Any]:
        """The kind. Raises `NotFoundError` (`rotator_unknown`)."""
        if name in self._unloaded:
            self._kinds[name] = self._unloaded[name]()
            del self._unloaded[name]
            prepare_structs(_PACKAGE)  # its shapes are new: nobody else reads them yet
        try:
            return self._kinds[name]
        except KeyError:
            raise NotFoundError(
                "rotator_unknown",
                f"there is no such rotator; there are {', '.join(self.names())}",
            ) from None

    def names(self) -> list[str]:
        """All of them, sorted."""
        return sorted({*self._kinds, *self._unloaded})

    def _require_new(self, name: str) -> None:
        if name in self._kinds or name in self._unloaded:
            raise ConflictError("rotator_exists", f"there are two rotators named {name}")
