"""Carries out a list of faults on a running fleet, and heals it in the end."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import trio

from tests.simulation.faults import CONTROL, Fault
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.trace import Trace

_NANO: Final = 1_000_000_000


class Havoc:
    """`processes` by name; the control plane is among them."""

    def __init__(
        self,
        network: Network,
        processes: Mapping[str, Process],
        trace: Trace,
        harm: Callable[[Fault], None],
    ) -> None:
        """`harm`: faults that are the fleet's own."""
        self._network = network
        self._processes = processes
        self._agents = [name for name in processes if name != CONTROL]
        self._trace = trace
        self._harm = harm

    async def run(self, faults: Sequence[Fault]) -> None:
        """All of them, each at its time; returns when the last has ended."""
        async with trio.open_nursery() as nursery:
            for fault in faults:
                await trio.sleep_until(fault.at)
                nursery.start_soon(self._one, fault)

    def heal(self) -> None:
        """Nothing is wrong any more."""
        self._trace.write("havoc", "heal")
        for agent in self._agents:
            self._network.heal(agent)
            self._network.path(agent).lag(0.0)
        for process in self._processes.values():
            process.clock.offset = 0
            process.disk.typical = process.disk.usual
            process.start()

    async def _one(self, fault: Fault) -> None:
        self._trace.write("havoc", str(fault))
        self._begin(fault)
        await trio.sleep(fault.length)
        self._end(fault)

    def _begin(self, fault: Fault) -> None:
        target, path = fault.target, self._network.path(fault.target)
        match fault.kind:
            case "cut":
                self._network.cut(target)
            case "black_hole":
                path.hush("up", "down")
            case "half_open":
                path.hush(fault.detail)
            case "slow":
                path.latency = float(fault.detail)
            case "lag":
                path.lag(float(fault.detail))
            case "tamper":
                name, harm = fault.detail.split()
                self._network.relays[target].plan(name, harm)
            case "skew" | "wrong_clock":
                self._processes[target].clock.offset = round(float(fault.detail) * _NANO)
            case "slow_disk":
                self._processes[target].disk.typical = float(fault.detail)
            case "theft" | "disk_error" | "actor":
                self._harm(fault)
            case "fork":
                self._down(self._processes[target], "crash")
                self._harm(fault)
            case _:
                self._down(self._processes[target], fault.kind.removeprefix("control_"))

    def _end(self, fault: Fault) -> None:
        process = self._processes.get(fault.target)
        match fault.kind:
            case "lag" | "theft" | "disk_error" | "actor":
                pass  # its connections keep it; so does the thief; the fleet ends the others
            case "cut" | "black_hole" | "half_open" | "slow" | "tamper":
                self._network.heal(fault.target)
            case "skew" | "wrong_clock" if process is not None:
                process.clock.offset = 0
            case "slow_disk" if process is not None:
                process.disk.typical = process.disk.usual
            case _ if process is not None:
                process.start()

    def _down(self, process: Process, how: str) -> None:
        """Crash, lose power, or stop."""
        if not process.up:
            return
        end = "control" if process.name == CONTROL else "agent"
        agents = self._agents if end == "control" else [process.name]
        if how == "stop":
            process.stop()
            return
        if end == "control":
            self._network.deafen()
        process.crash()
        self._network.die(end, agents, mute=how == "power")
