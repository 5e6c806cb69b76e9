"""A supervised actor runtime on Trio: the words of OTP, on structured concurrency.

An actor owns its state and meets its messages one turn at a time (`Actor`), or all that is queued
in one turn (`BatchActor`). `supervise` runs actors for the length of a block; a `Ref` from it stays
valid while its actor crashes and is restarted behind it.
"""

from actors.actor import Actor, BatchActor
from actors.breaker import Breaker, Circuit
from actors.child import Branch, Child, Strategy
from actors.errors import (
    ActorError,
    ActorExited,
    ActorStopped,
    BatchMismatch,
    CallTimeout,
    CallWithdrawn,
    CircuitOpen,
    MailboxFull,
    StartTimeout,
    StopFailed,
    StopTimeout,
    SupervisorFailed,
)
from actors.mailbox import Overflow
from actors.ref import Ref
from actors.reply import Failure, Reply, Stop
from actors.report import FailureReport, Verdict, log_failure
from actors.restart import Escalate, Restart, RestartAfter, RestartPolicy, decide_restart
from actors.supervisor import Supervisor, supervise
from actors.tree import MailboxStats, Node
from actors.world import SystemWorld, Worker, World

__all__ = [
    "Actor",
    "ActorError",
    "ActorExited",
    "ActorStopped",
    "BatchActor",
    "BatchMismatch",
    "Branch",
    "Breaker",
    "CallTimeout",
    "CallWithdrawn",
    "Child",
    "Circuit",
    "CircuitOpen",
    "Escalate",
    "Failure",
    "FailureReport",
    "MailboxFull",
    "MailboxStats",
    "Node",
    "Overflow",
    "Ref",
    "Reply",
    "Restart",
    "RestartAfter",
    "RestartPolicy",
    "StartTimeout",
    "Stop",
    "StopFailed",
    "StopTimeout",
    "Strategy",
    "Supervisor",
    "SupervisorFailed",
    "SystemWorld",
    "Verdict",
    "Worker",
    "World",
    "decide_restart",
    "log_failure",
    "supervise",
]
