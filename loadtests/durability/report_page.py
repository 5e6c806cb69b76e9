"""durability.md: what the runs found, and what has not been run."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from loadtests.durability.faults.syscall_gate import Kind
from loadtests.durability.history import STATES
from loadtests.durability.sweep import FORMS, KINDS, SCENARIO_NAMES, group, in_form, kinds_of
from loadtests.markdown import table

Known = Mapping[str, Mapping[str, Any]]
"""Kind of fault → what `kept.py` keeps of it."""

WEAKENED: Final = ", weakened: "

_HEAD: Final = """# Durability

Written by `make durability` (`ROUNDS=200`; `QUICK=1` for a short form, which writes under
`.bench/quick`; one kind alone, or several side by side, with
`python -m loadtests.durability kill|power|points --out docs/benchmarks`, which keeps what is there
of the others). It exits 1 when the oracle finds anything wrong. A short form of each kind is among
the tests (`tests/acceptance/durability`).

The oracle: every acknowledged write is there with its value and version; one of which nobody heard
is there at most once; a refused one is not there; versions have no gap; `freehold audit verify`
recomputes chain and Merkle root; every acknowledged write has its intent and outcome on record; a
token whose revocation was acknowledged never counts again and one that was issued does, a destroyed
or deleted value is never read again, a policy that was written is there, a rotated key stays
rotated; an agent that does not start again, or takes no write then, has failed too. What clients
were told is kept in the harness."""

_LOAD: Final = """## Under load

16 writers over both dialects, to names of their own and to shared ones, a quarter with
check-and-set, an eighth of the requests with five writes in one, and one client each that issues
and revokes tokens, deletes and destroys values, and writes policies; the fault comes after 0.05 to
1.5 s, and once a write is acknowledged and a read answered. In every fourth round the start after
it is struck as well. A new vault every 25 rounds. A power cut is ext4 on a loop device that is shut
down by `EXT4_IOC_SHUTDOWN` without flushing its journal, the process killed, the file system
mounted again."""

_WEAK: Final = """The harness notices an agent that syncs too little (`synchronous`: NORMAL behind
the agent's back; `fdatasync`: the audit log is not synced). Both runs are tests of the harness; the
agent itself refuses NORMAL at its start."""

_POINTS: Final = """## At every system call

How often each operation was struck, at a position of its own each time, of an agent of one process
and of one of several. EIO and ENOSPC come once or stay; tear is death after half of a write; a
worker killed or torn is the death of the one process whose call it was, while the others go on;
short is half a write; delay holds a call while the agent has to answer its health (at starts and
stops: while it has to wait). Of equal calls in a row the first, second and last are struck, of a
fault that stays and of a delay the first of each call on each file
(`loadtests/durability/positions.py`). The migration is that of a vault of today by a program whose
schema has one step more."""

_ROWS: Final = tuple((story, workers) for story in SCENARIO_NAMES for workers in FORMS)

_There = Mapping[tuple[str, int, Kind], Mapping[str, Any]]


def render_page(known: Known) -> str:
    """The whole page."""
    points = {group(story, kind, workers) for story, workers in _ROWS for kind in KINDS}
    weak = [kind for kind in known if WEAKENED in kind]
    rest = [kind for kind in known if kind not in points and kind not in weak]
    parts = [_HEAD, _LOAD, _rounds(known, rest)]
    if weak:
        parts += [_WEAK, _rounds(known, weak)]
    parts += [_POINTS, *_swept(known)]
    return "\n\n".join(parts) + "\n"


def _rounds(known: Known, kinds: Iterable[str]) -> str:
    head = ["fault", "rounds", "acknowledged", "refused", "unanswered", "wrong", "taken"]
    rows = []
    for kind in sorted(kinds):
        found = known[kind]
        if found["undone"]:
            rows.append([kind, f"not done: {found['undone']}", *[""] * 4, _taken(found)])
            continue
        counts = [found["faults"], *(found["counts"][state] for state in STATES), found["wrong"]]
        rows.append([kind, *(f"{count:,}" for count in counts), _taken(found)])
    return table(head, rows)


def _taken(found: Mapping[str, Any]) -> str:
    return f"{found['taken']}, {found['commit']}, seed {found['seed']}; {_machine(found)}"


def _machine(found: Mapping[str, Any]) -> str:
    return f"{found['where']}, load average {found['load']}"


def _swept(known: Known) -> Iterable[str]:
    """The table of the sweep, what it came to, and what is missing of it."""
    if undone := known.get("points", {}).get("undone"):
        yield f"Not done: {undone}."
        return
    there = {
        (story, workers, kind): known[group(story, kind, workers)]
        for story, workers in _ROWS
        for kind in KINDS
        if group(story, kind, workers) in known
    }
    yield table(["operation", *KINDS], [_row(story, workers, there) for story, workers in _ROWS])
    if not there:
        yield "Nothing of it has been run."
        return
    wrong = sum(found["wrong"] for found in there.values())
    total = sum(found["faults"] for found in there.values())
    missed = sum(found["missed"] for found in there.values())
    taken = sorted(found["taken"] for found in there.values())
    machines = sorted({found["where"] for found in there.values()})
    yield (
        f"Struck {total:,} times, wrong {wrong:,}. {missed:,} more positions were not reached, as "
        f"operations differ a little from time to time. Taken from {taken[0]} to {taken[-1]}, "
        f"{_commits(there)}; {'; '.join(machines)}."
    )
    if lacking := [told for story, workers in _ROWS if (told := _lacking(story, workers, there))]:
        yield "**Not whole.**\n\n" + "\n".join(f"- {told}" for told in lacking)


def _commits(there: _There) -> str:
    """Of which code it is: the commit of most of it, and the rows that are of others."""
    count = Counter(found["commit"] for found in there.values())
    newest = max(count, key=lambda commit: count[commit])
    others: dict[str, list[str]] = {}
    for (story, workers, _), found in there.items():
        rows = others.setdefault(found["commit"], [])
        if in_form(story, workers) not in rows:
            rows.append(in_form(story, workers))
    told = [f"{'; '.join(rows)} at {commit}" for commit, rows in others.items() if commit != newest]
    return ", but ".join([f"at commit {newest}", *([" and ".join(told)] if told else [])])


def _row(story: str, workers: int, there: _There) -> list[str]:
    return [in_form(story, workers), *(_cell(there.get((story, workers, kind))) for kind in KINDS)]


def _lacking(story: str, workers: int, there: _There) -> str:
    """What has not been run of a story, or not at every position that the rule chooses."""
    kinds, name = kinds_of(story, workers), in_form(story, workers)
    missing = [kind for kind in kinds if (story, workers, kind) not in there]
    few = [kind for kind in kinds if there.get((story, workers, kind), {}).get("most")]
    if len(missing) == len(kinds):
        return f"{name}: not run"
    told = [f"not run: {', '.join(missing)}"] * bool(missing)
    told += [f"only some positions, spread evenly: {', '.join(few)}"] * bool(few)
    return f"{name}: {'; '.join(told)}" if told else ""


def _cell(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "-"
    wrong = f", {found['wrong']} wrong" if found["wrong"] else ""
    return f"{found['faults']}{wrong}"
