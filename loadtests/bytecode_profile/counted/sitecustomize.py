"""Counts while a file is there. Python imports this first wherever it lies on `PYTHONPATH`.

`FREEHOLD_STEPS` names the folder: as long as it has a file `on`, each process counts; what it has
counted is then in `<pid>.json`. A fork counts for itself. Does nothing before Python 3.12, which
has no `sys.monitoring`.
"""

import json
import os
import sys
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Any, Final

LOOK_EVERY: Final = 0.02  # seconds
ON: Final = "on"
_monitoring: Final[Any] = getattr(sys, "monitoring", None)
_where: Final = os.environ.get("FREEHOLD_STEPS")


class Count:
    """Bytecodes, starts and calls of every code object, of all threads together."""

    def __init__(self) -> None:
        self._steps: Counter[CodeType] = Counter()
        self._starts: Counter[CodeType] = Counter()
        self._calls: Counter[CodeType] = Counter()

    def begin(self) -> None:
        """Count from here on."""
        tool, events = _monitoring.PROFILER_ID, _monitoring.events

        def stepped(code: CodeType, _offset: int) -> None:
            self._steps[code] += 1

        def started(code: CodeType, _offset: int) -> None:
            self._starts[code] += 1

        def called(code: CodeType, _offset: int, _function: object, _argument: object) -> None:
            self._calls[code] += 1

        _monitoring.use_tool_id(tool, "freehold-steps")
        _monitoring.register_callback(tool, events.INSTRUCTION, stepped)
        _monitoring.register_callback(tool, events.PY_START, started)
        _monitoring.register_callback(tool, events.CALL, called)
        _monitoring.set_events(tool, events.INSTRUCTION | events.PY_START | events.CALL)

    def end(self) -> list[tuple[str, int, int, int]]:
        """Function, and how many steps, starts and calls it had."""
        _stop()
        return [
            (_name(code), steps, self._starts[code], self._calls[code])
            for code, steps in list(self._steps.items())
        ]


def _name(code: CodeType) -> str:
    return f"{'/'.join(Path(code.co_filename).parts[-3:])}:{code.co_firstlineno} {code.co_qualname}"


def _watch(folder: Path) -> None:
    while True:
        while not (folder / ON).exists():
            time.sleep(LOOK_EVERY)
        count = Count()
        count.begin()
        while (folder / ON).exists():
            time.sleep(LOOK_EVERY)
        told = folder / f"{os.getpid()}.new"
        told.write_text(json.dumps(count.end()))
        told.rename(told.with_suffix(".json"))


def _begin(folder: str) -> None:
    if _monitoring.get_tool(_monitoring.PROFILER_ID):  # a fork of one that counts
        _stop()
    threading.Thread(target=_watch, args=(Path(folder),), daemon=True).start()


def _stop() -> None:
    _monitoring.set_events(_monitoring.PROFILER_ID, 0)
    _monitoring.free_tool_id(_monitoring.PROFILER_ID)


if _monitoring and _where:
    _begin(_where)
    os.register_at_fork(after_in_child=partial(_begin, _where))
