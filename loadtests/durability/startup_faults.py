"""Faults at the system calls of an agent's start, migration and stop: a process each time."""

import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from http import HTTPStatus
from itertools import takewhile
from pathlib import Path
from typing import Final

from loadtests.agent_process import AgentError
from loadtests.durability import next_schema
from loadtests.durability.faults.calls import FileCall
from loadtests.durability.faults.syscall_gate import Fault, Kind, SyscallGate
from loadtests.durability.harness import (
    OUTPUT_SHOWN,
    AgentHarness,
    VaultSnapshot,
    make_vault,
    new_folder,
)
from loadtests.durability.history import Round
from loadtests.durability.live_faults import NOT_REACHED
from loadtests.durability.oracle import judge
from loadtests.durability.positions import ALL, Choice, positions
from loadtests.durability.scenarios import FIRST_START, MIGRATION, NEXT_START, STOP, ProcessScenario

HELD: Final = 0.3  # seconds that a start or stop hangs


def sweep(
    folder: Path,
    opened: SyscallGate,
    start: ProcessScenario,
    kinds: Sequence[Kind],
    choice: Choice,
    *,
    workers: int,
) -> Iterator[tuple[Kind, str, Round]]:
    """Each kind at each position, by an agent each on a copy of one vault."""
    vault = VaultSnapshot(folder / "none", "", (), workers)
    if start is not FIRST_START:
        cleanly = start is not NEXT_START
        vault = make_vault(new_folder(folder, "vault"), opened, workers, cleanly=cleanly)
    steps = next_schema.write_steps(folder / "steps")
    program = next_schema.launcher(steps) if start is MIGRATION else ()

    def stage(name: str) -> AgentHarness:
        return AgentHarness(new_folder(folder, name.replace(" ", "-")), opened, vault, program)

    traced = stage("traced")
    _begin_or_end(traced, start, Fault("EIO", ALL))
    traced.agent.kill()
    trace = list(takewhile(start.goes_on, opened.disarm()))
    for kind in kinds:
        for at in positions(trace, kind, choice):
            this, struck = _strike(stage(f"{kind}-{at}"), start, Fault(kind, at))
            yield kind, f"{at} {struck or NOT_REACHED}", this


def _strike(
    stage: AgentHarness, start: ProcessScenario, fault: Fault
) -> tuple[Round, FileCall | None]:
    before = len(stage.writes)
    findings: list[str] = []
    try:
        if fault.kind == "delay":
            findings += _delayed(stage, start, fault)
        else:
            _begin_or_end(stage, start, fault)
        stage.agent.kill()
        stage.gate.disarm()
        findings += stage.take_unexpected()
        if fault.struck:
            findings += _look(stage, start)
    finally:
        stage.agent.kill()
        shutil.rmtree(stage.agent.data, ignore_errors=True)  # each is 64 MiB and more
    return Round(stage.writes[before:], findings, struck=fault.struck is not None), fault.struck


def _begin_or_end(stage: AgentHarness, start: ProcessScenario, fault: Fault) -> bool:
    """The start or the stop, which the fault may end; whether it went as it should."""
    if start is STOP:
        stage.agent.start()
        stage.write()
        stage.gate.arm(fault)
        return stage.agent.stop() == 0
    stage.gate.arm(fault)
    try:
        stage.agent.start()
    except AgentError:
        return False  # it said no and ended, or was killed: it must be able to start afterwards
    return _initialise(stage) if start is FIRST_START else stage.write()


def _delayed(stage: AgentHarness, start: ProcessScenario, fault: Fault) -> Iterator[str]:
    """A call that hangs for a while is waited for; nothing else comes of it."""
    with stage.while_hanging(partial(_begin_or_end, stage, start, fault)) as acting:
        if fault.struck:
            time.sleep(HELD)
    if not acting.result():
        yield f"a call that hung for {HELD} s ended it: {stage.agent.output()[-OUTPUT_SHOWN:]}"


def _initialise(stage: AgentHarness) -> bool:
    """Keys, the first token and a mount; what was lost on the way is asked for again."""
    made = stage.request("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
    if made is None or made.status != HTTPStatus.OK:
        return False
    stage.agent.token = made.json["root_token"]
    stage.request("POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    return stage.write()


def _look(stage: AgentHarness, start: ProcessScenario) -> Iterator[str]:
    """It starts again, and the oracle is content."""
    if wrong := stage.start():
        yield from wrong
        return
    if start is FIRST_START and not stage.agent.token:
        _initialise(stage)
    yield from stage.take_unexpected()
    yield from _judged(stage, start)
    if start is MIGRATION:
        yield from _migrated(stage)
    if "Traceback" in stage.agent.output():
        yield "a traceback in its output"


def _judged(stage: AgentHarness, start: ProcessScenario) -> list[str]:
    """The oracle, as far as anybody has a token to ask it with."""
    if stage.agent.token:
        return judge(stage.agent, stage.writes, stage.deeds)
    ready = stage.request(
        "GET", "/health/ready"
    )  # the answer with the token was lost, not the keys
    if ready and ready.status == HTTPStatus.OK:
        return []
    return [f"{start.name}: it is not ready: {ready}"]


def _migrated(stage: AgentHarness) -> Iterator[str]:
    """The step was done, once and whole."""
    with closing(sqlite3.connect(stage.agent.database)) as database:
        yield from next_schema.find_faults(database)
