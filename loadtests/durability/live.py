"""Faults at the system calls of an operation of a running agent."""

from collections.abc import Iterator, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final

from loadtests.durability.faults.calls import SYNCS, WRITES, Call
from loadtests.durability.faults.gate import LETHAL, OF_WORKERS, Fault, Gate, Kind
from loadtests.durability.history import Round
from loadtests.durability.oracle import judge
from loadtests.durability.positions import ALL, Choice, positions
from loadtests.durability.stage import TOLD, Stage, make_vault, new_folder
from loadtests.durability.stories import Story

NOT_REACHED: Final = "not reached"
_REWRITTEN: Final = "vault.db"  # after a failed sync SQLite copies all pages again from its log


def sweep(
    folder: Path,
    opened: Gate,
    story: Story,
    kinds: Sequence[Kind],
    choice: Choice,
    *,
    workers: int,
) -> Iterator[tuple[Kind, str, Round]]:
    """Each kind at each position, by one agent a kind as long as it lives."""
    vault = make_vault(new_folder(folder, "vault"), opened, workers, cleanly=True)
    for kind in kinds:
        stage = Stage(new_folder(folder, kind.replace(" ", "-")), opened, vault)
        stage.agent.start()
        try:
            # The first time is unlike the others: connections are opened, files begun.
            trace = [_trace(stage, story) for _ in range(2)][-1]
            for at in positions(trace, kind, choice, repeats=story.repeats):
                this, struck = _strike(stage, story, Fault(kind, at, story.begins))
                yield kind, f"{at} {struck or NOT_REACHED}", this
            yield kind, "end", _end(stage)
        finally:
            stage.agent.kill()


def retried(trace: Sequence[Call]) -> Iterator[str]:
    """A sync that failed and was tried again on a file that was not opened anew: what is wrong.

    The kernel forgets what it could not write, so the second one says nothing.
    """
    failed: set[Path] = set()
    for call in trace:
        if call.name in {"openat", "unlink"} or (
            call.path.name == _REWRITTEN and call.name in WRITES
        ):
            failed.discard(call.path)
        elif call.name in SYNCS and not call.path.is_dir():
            if call.path in failed:
                yield f"{call} was tried again without opening the file anew"
            if call.fault.startswith(("EIO", "ENOSPC")):
                failed.add(call.path)


def _trace(stage: Stage, story: Story) -> list[Call]:
    fault = Fault("EIO", ALL, story.begins)
    _act(stage, story, fault)
    trace = stage.gate.disarm()
    begun = next((number for number, call in enumerate(trace) if story.begins(call)), len(trace))
    return trace[begun:]


def _act(stage: Stage, story: Story, fault: Fault) -> None:
    story.ready(stage)
    stage.fault = fault
    stage.gate.arm(fault)
    story.act(stage)


def _strike(stage: Stage, story: Story, fault: Fault) -> tuple[Round, Call | None]:
    before = len(stage.writes)
    findings: list[str] = []
    if fault.kind == "delay":
        findings += _delayed(stage, story, fault)
    else:
        _act(stage, story, fault)
    if fault.kind.endswith("stays"):
        stage.put()
    findings += stage.odd()
    if fault.kind in LETHAL:
        findings += _revive(stage, fault)
    else:
        findings += _survive(stage, fault)
    this = Round(stage.writes[before:], findings, struck=fault.struck is not None)
    return this, fault.struck


def _delayed(stage: Stage, story: Story, fault: Fault) -> Iterator[str]:
    """While one call hangs, the agent still answers."""
    with stage.hanging(partial(_act, stage, story, fault)):
        if fault.struck:
            alive = stage.ask("GET", "/health/live")
            if alive is None or alive.status != HTTPStatus.OK:
                yield f"while a call hangs, its health is {alive}"


def _survive(stage: Stage, fault: Fault) -> Iterator[str]:
    if fault.kind in OF_WORKERS:  # who asks while it ends may get no answer, and asks again
        yield from stage.recover()
    alive = stage.ask("GET", "/health/live")
    if alive is None or alive.status != HTTPStatus.OK:
        yield f"its health is {alive}"
    trace = stage.gate.disarm()
    if fault.struck:
        yield from retried(trace)
        yield from stage.recover()


def _revive(stage: Stage, fault: Fault) -> list[str]:
    """After a death: it starts and the oracle is content."""
    stage.gate.disarm()  # before we look: work in the background may reach the position late
    if fault.struck is None:
        return []
    stage.bury()
    return stage.start() or judge(stage.agent, stage.writes, stage.deeds)


def _end(stage: Stage) -> Round:
    """Stop, start, and ask about everything."""
    this = Round(struck=False)
    if code := stage.agent.stop():
        this.findings.append(f"it stopped with {code}: {stage.agent.output()[-TOLD:]}")
    this.findings += stage.start() or judge(stage.agent, stage.writes, stage.deeds)
    if "Traceback" in stage.agent.output():
        this.findings.append("a traceback in its output")
    return this
