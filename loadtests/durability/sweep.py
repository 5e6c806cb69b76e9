"""The sweep: each operation once for every kind of fault and every position in it.

A position is a system call that changes a file. Of a run of equal calls on one file only the first,
second and last are struck (all with `every`): nothing is synced between them, so what a crash
leaves of the others is one of the cases that these leave.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from itertools import groupby
from pathlib import Path
from typing import Final

from loadtests.durability.faults.calls import SYNCS, WRITES, Call
from loadtests.durability.faults.gate import LETHAL, Fault, Gate, Kind, gate
from loadtests.durability.history import Round
from loadtests.durability.oracle import judge
from loadtests.durability.stage import TOLD, Stage, Vault, make_vault
from loadtests.durability.stories import FIRST_START, LIVE, NEXT_START, STARTS, STOP, Story
from tests.acceptance.agent import AgentError

NEVER: Final = 1 << 30  # a position that no operation reaches: only the trace is wanted
KINDS: Final[tuple[Kind, ...]] = (
    "kill", "tear", "EIO", "EIO stays", "ENOSPC", "ENOSPC stays", "short", "delay",
)  # fmt: skip
START_KINDS: Final[tuple[Kind, ...]] = ("kill", "tear", "EIO", "ENOSPC")
_REWRITTEN: Final = "vault.db"  # after a failed sync SQLite copies all pages again from its log

NOT_REACHED: Final = "not reached"

Labelled = Iterator[tuple[str, str, Round]]
"""Story and kind, the position and its call, what came of it."""


@dataclass(frozen=True)
class Plan:
    """What to sweep: names of stories, kinds of faults, every position or a few of each."""

    stories: Sequence[str] = (*(story.name for story in LIVE), *STARTS)
    kinds: Sequence[Kind] = KINDS
    every: bool = False
    most: int = NEVER  # positions of one story and kind, spread evenly


def run(folder: Path, plan: Plan) -> Labelled:
    """All of it: a label and a round for each fault, and for each story and kind at its end."""
    with gate(folder) as opened:
        for number, story in enumerate(each for each in LIVE if each.name in plan.stories):
            yield from _live(folder / f"live-{number}", opened, story, plan)
        for number, name in enumerate(each for each in STARTS if each in plan.stories):
            yield from _starts(folder / f"starts-{number}", opened, name, plan)


def positions(trace: Sequence[Call], kind: Kind, plan: Plan) -> list[int]:
    """Where to strike, from 1, as `Fault.at` counts."""
    counted = [call for call in trace if kind not in {"tear", "short"} or call.name in WRITES]
    chosen: set[int] = set()
    at = 0
    for _, group in groupby(counted, key=lambda call: (call.name, call.path)):
        length = len(list(group))
        steps = range(1, length + 1) if plan.every else {1, 2, length}
        chosen |= {at + step for step in steps if step <= length}
        at += length
    ordered = sorted(chosen)
    stride = max(1, -(-len(ordered) // plan.most))
    return ordered[::stride]


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


# Operations of a running agent.


def _live(folder: Path, opened: Gate, story: Story, plan: Plan) -> Labelled:
    folder.mkdir()
    vault = make_vault(_new(folder, "vault"), opened, cleanly=True)
    for kind in plan.kinds:
        stage = Stage(_new(folder, kind.replace(" ", "-")), opened, vault)
        stage.agent.start()
        try:
            # The first time is unlike the others: connections are opened, files begun.
            trace = [_trace(stage, story) for _ in range(2)][-1]
            for at in positions(trace, kind, plan):
                this, struck = _strike(stage, story, Fault(kind, at, story.begins))
                yield f"{story.name}, {kind}", f"{at} {struck or NOT_REACHED}", this
            yield f"{story.name}, {kind}", "end", _end(stage)
        finally:
            stage.agent.kill()


def _trace(stage: Stage, story: Story) -> list[Call]:
    fault = Fault("EIO", NEVER, story.begins)
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
    return Round(stage.writes[before:], findings), fault.struck


def _delayed(stage: Stage, story: Story, fault: Fault) -> Iterator[str]:
    """While one call hangs, the agent still answers."""
    with ThreadPoolExecutor(1) as other:
        acting = other.submit(_act, stage, story, fault)
        while not acting.done() and not stage.gate.wait_held(0.05):
            pass
        if fault.struck:
            alive = stage.ask("GET", "/health/live")
            if alive is None or alive.status != HTTPStatus.OK:
                yield f"while a call hangs, its health is {alive}"
        stage.gate.release()
        acting.result()


def _survive(stage: Stage, fault: Fault) -> Iterator[str]:
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
    return stage.start() or judge(stage.agent, stage.writes)


def _end(stage: Stage) -> Round:
    """Stop, start, and ask about everything."""
    this = Round()
    if code := stage.agent.stop():
        this.findings.append(f"it stopped with {code}: {stage.agent.output()[-TOLD:]}")
    this.findings += stage.start() or judge(stage.agent, stage.writes)
    if "Traceback" in stage.agent.output():
        this.findings.append("a traceback in its output")
    return this


# Starts and stops.


def _starts(folder: Path, opened: Gate, name: str, plan: Plan) -> Labelled:
    folder.mkdir()
    vault = make_vault(_new(folder, "vault"), opened, cleanly=name != NEXT_START)
    if name == FIRST_START:
        vault = Vault(folder / "none", "", ())
    traced = Stage(_new(folder, "traced"), opened, vault)
    _begin_or_end(traced, name, Fault("EIO", NEVER))
    traced.agent.kill()
    trace = opened.disarm()
    for kind in (each for each in START_KINDS if each in plan.kinds):
        for at in positions(trace, kind, plan):
            stage = Stage(_new(folder, f"{kind}-{at}"), opened, vault)
            fault = Fault(kind, at)
            try:
                this = _strike_start(stage, name, fault)
            finally:
                stage.agent.kill()
            yield f"{name}, {kind}", f"{at} {fault.struck or NOT_REACHED}", this


def _begin_or_end(stage: Stage, name: str, fault: Fault) -> None:
    """The start or the stop, which the fault may end."""
    if name == STOP:
        stage.agent.start()
        stage.put()
    stage.gate.arm(fault)
    if name == STOP:
        stage.agent.stop()
        return
    try:
        stage.agent.start()
        if name == FIRST_START:
            _initialise(stage)
        else:
            stage.put()
    except AgentError:
        return  # it said no and ended, or was killed: it must be able to start afterwards


def _initialise(stage: Stage) -> None:
    """Keys, the first token and a mount; what was lost on the way is asked for again."""
    made = stage.ask("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
    if made is not None and made.status == HTTPStatus.OK:
        stage.agent.token = made.json["root_token"]
        stage.ask("POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        stage.put()


def _strike_start(stage: Stage, name: str, fault: Fault) -> Round:
    before = len(stage.writes)
    _begin_or_end(stage, name, fault)
    stage.agent.kill()
    stage.gate.disarm()
    findings = stage.odd() + stage.start()
    if not findings and name == FIRST_START and not stage.agent.token:
        _initialise(stage)
    if not findings:
        findings += stage.odd() + _judged(stage, name)
    if "Traceback" in stage.agent.output():
        findings.append("a traceback in its output")
    return Round(stage.writes[before:], findings)


def _judged(stage: Stage, name: str) -> list[str]:
    """The oracle, as far as anybody has a token to ask it with."""
    if not stage.agent.token:
        ready = stage.ask(
            "GET", "/health/ready"
        )  # the answer with the token was lost, not the keys
        return (
            [] if ready and ready.status == HTTPStatus.OK else [f"{name}: it is not ready: {ready}"]
        )
    return judge(stage.agent, stage.writes)


def _new(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir()
    return path
