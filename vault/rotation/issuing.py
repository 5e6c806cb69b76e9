"""Rotators whose target makes the value, and shows it once.

An access key at AWS is made by one call that cannot be repeated, and the answer to it is the only
place where the secret is ever seen. `Rotator.create` may change nothing and `Rotator.apply` returns
nothing, so neither can hold that call. Such a rotator has a step in between:

    create → issue → apply → verify → … → retire

The engine persists what `create` returns (the draft), calls `issue` with it, persists what that
returns as the pending value, and only then goes on to `apply` with it.
"""

from typing import Protocol, runtime_checkable

from vault.rotation.rotator import RotationContext, Rotator, Value


@runtime_checkable
class IssuingRotator(Rotator, Protocol):
    """A rotator with the step `issue`. The engine tells it from others by `isinstance`."""

    def issue(self, context: RotationContext, draft: Value, previous: Value) -> Value:
        """Have the target make the value and return it; `draft` is what `create` returned.

        Called again with the same arguments after a crash, when what the target made the time
        before may not have been persisted. The draft says what was there before this rotation, so
        this removes what was made since, which nobody can know, and makes a new one.
        """
        ...

    def discard(self, context: RotationContext, draft: Value) -> None:
        """Remove what `issue` has made and nobody persisted: the rotation is given up.

        The engine retires a pending value first, if there is one.
        """
        ...
