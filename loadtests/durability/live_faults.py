"""Faults at the system calls of an operation of a running agent."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final

from loadtests.durability.faults.calls import SYNCS, WRITES, FileCall
from loadtests.durability.faults.syscall_gate import LETHAL, OF_WORKERS, Fault, Kind, SyscallGate
from loadtests.durability.harness import OUTPUT_SHOWN, AgentHarness, make_vault, new_folder
from loadtests.durability.history import Round
from loadtests.durability.oracle import judge
from loadtests.durability.positions import ALL, Choice, positions
from loadtests.durability.scenarios import Scenario

NOT_REACHED: Final = "not reached"
TRIES: Final = 3  # at a position that the operation did not reach: it differs a little
STATUS: Final = ("/health/live", "/v1/sys/seal-status")  # the second one the first process answers
_REWRITTEN: Final = "vault.db"  # after a failed sync SQLite copies all pages again from its log


def sweep(
    folder: Path,
    opened: SyscallGate,
    story: Scenario,
    kinds: Sequence[Kind],
    choice: Choice,
    *,
    workers: int,
) -> Iterator[tuple[Kind, str, Round]]:
    """Each kind at each position, by one agent a kind as long as it lives."""
    vault = make_vault(new_folder(folder, "vault"), opened, workers, cleanly=True)
    for kind in kinds:
        stage = AgentHarness(new_folder(folder, kind.replace(" ", "-")), opened, vault)
        stage.agent.start()
        try:
            stage.warm()
            trace = _trace(stage, story)
            for at in positions(trace, kind, choice, repeats=story.repeats):
                for _ in range(TRIES):
                    this, struck = _strike(stage, story, Fault(kind, at, story.begins))
                    if struck or this.findings:
                        break
                yield kind, f"{at} {struck or NOT_REACHED}", this
            yield kind, "end", _end(stage)
        finally:
            stage.agent.kill()


def find_retried_sync(trace: Sequence[FileCall]) -> Iterator[str]:
    """A sync that failed and was tried again on a file that was not opened anew: what is wrong.

    The kernel forgets what it could not write, so the second one says nothing.
    """
    failed: set[tuple[Path, int]] = set()  # of each process: it has descriptors of its own
    for call in trace:
        who = call.path, call.worker
        if call.name in {"openat", "unlink"} or (
            call.path.name == _REWRITTEN and call.name in WRITES
        ):
            failed.discard(who)
        elif call.name in SYNCS and not call.path.is_dir():
            if who in failed:
                yield f"{call} was tried again without opening the file anew"
            if call.fault.startswith(("EIO", "ENOSPC")):
                failed.add(who)


def _trace(stage: AgentHarness, story: Scenario) -> list[FileCall]:
    fault = Fault("EIO", ALL, story.begins)
    _act(stage, story, fault)
    trace = stage.gate.disarm()
    begun = next((number for number, call in enumerate(trace) if story.begins(call)), len(trace))
    return trace[begun:]


def _act(stage: AgentHarness, story: Scenario, fault: Fault) -> None:
    story.ready(stage)
    stage.fault = fault
    stage.gate.arm(fault)
    story.act(stage)


def _strike(stage: AgentHarness, story: Scenario, fault: Fault) -> tuple[Round, FileCall | None]:
    before, workers = len(stage.writes), stage.workers()
    findings: list[str] = []
    if fault.kind == "delay":
        findings += _delayed(stage, story, fault)
    else:
        _act(stage, story, fault)
    if fault.kind.endswith("stays"):
        stage.write()
    if fault.kind in LETHAL:
        findings += _restart_after_death(stage, fault)
    else:
        findings += _survive(stage, fault, workers)
    findings += stage.take_unexpected()
    this = Round(stage.writes[before:], findings, struck=fault.struck is not None)
    return this, fault.struck


def _delayed(stage: AgentHarness, story: Scenario, fault: Fault) -> Iterator[str]:
    """While one call hangs, each process of the agent still answers."""
    with ExitStack() as stack:
        clients = stage.connect_to_each(stack)
        stack.enter_context(stage.while_hanging(partial(_act, stage, story, fault)))
        if fault.struck:
            for client in clients:
                for path in STATUS:
                    status = client.call("GET", path).status
                    if status != HTTPStatus.OK:
                        yield f"while a call hangs, {path} is answered with {status}"


def _survive(stage: AgentHarness, fault: Fault, workers: list[int]) -> Iterator[str]:
    trace = stage.gate.disarm()
    if fault.struck:
        yield from stage.recover()
        yield from find_retried_sync(trace)
        yield from _same_workers(stage, fault, workers)
    alive = stage.request("GET", "/health/live")
    if alive is None or alive.status != HTTPStatus.OK:
        yield f"its health is {alive}"


def _same_workers(stage: AgentHarness, fault: Fault, before: list[int]) -> Iterator[str]:
    """All that there were; in the place of one that was killed another one, soon."""
    dead = fault.struck.worker if fault.struck and fault.kind in OF_WORKERS else 0
    now = stage.await_workers(without=dead)
    if len(now) != len(before):
        yield f"it has the workers {now} where it had {before}"
    if gone := set(before) - set(now) - {dead}:
        yield f"the workers {sorted(gone)} died of it: {stage.agent.output()[-OUTPUT_SHOWN:]}"
    if dead:
        stage.warm()


def _restart_after_death(stage: AgentHarness, fault: Fault) -> list[str]:
    """After a death: it starts and the oracle is content."""
    stage.gate.disarm()  # before we look: work in the background may reach the position late
    if fault.struck is None:
        return []
    stage.wait_dead()
    if wrong := stage.start():
        return wrong
    findings = judge(stage.agent, stage.writes, stage.deeds, stage.reads)
    stage.warm()
    return findings


def _end(stage: AgentHarness) -> Round:
    """Stop, start, and ask about everything."""
    this = Round(struck=False)
    if code := stage.agent.stop():
        this.findings.append(f"it stopped with {code}: {stage.agent.output()[-OUTPUT_SHOWN:]}")
    this.findings += stage.start() or judge(stage.agent, stage.writes, stage.deeds, stage.reads)
    this.findings += stage.take_unexpected()
    if "Traceback" in stage.agent.output():
        this.findings.append("a traceback in its output")
    return this
