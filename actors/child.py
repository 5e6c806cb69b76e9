"""What a supervisor is told about its children."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from actors.actor import Actor, BatchActor
from actors.mailbox import Overflow
from actors.restart import Restart, RestartPolicy


class Strategy(Enum):
    """Which siblings are restarted with a child that failed (OTP's words)."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"
    """The failed child and those started after it."""


class StopMode(Enum):
    """How a running child is asked to end."""

    DRAIN = "drain"
    """For good: accept nothing more, serve what is queued."""
    PAUSE = "pause"
    """Finish what is in hand; the queue is for the next incarnation."""


@dataclass(frozen=True)
class Child:
    """An actor to be: how to make one incarnation, and the terms of its life.

    Times are in seconds. The defaults for them are those of common practice (OTP's `shutdown` is
    5 s; 30 s is what a database that recovers after a crash may take to open).
    """

    name: str
    factory: Callable[[], Actor[Any] | BatchActor[Any]]
    mailbox: int = 1024
    overflow: Overflow = Overflow.WAIT
    restart: Restart = Restart.PERMANENT
    start_timeout: float = 30.0
    stop_grace: float = 5.0
    """For the message in hand (and the queue, when draining), then again for `on_stop`."""


@dataclass(frozen=True)
class Branch:
    """A supervisor as a child of another. When it gives up, that is a failure to its parent."""

    name: str
    children: Sequence[Child | Branch]
    strategy: Strategy = Strategy.ONE_FOR_ONE
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    restart: Restart = Restart.PERMANENT
