"""What a run says: a line a round or position while it goes, and a table at its end."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from loadtests.durability.history import STATES, Round

SHOWN = 10  # findings of a round or position; one alone fails the run


@dataclass
class Tally:
    """What one kind of fault came to."""

    kind: str
    faults: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    wrong: int = 0
    undone: str = ""  # why this machine cannot do it
    missed: int = 0  # positions that the operation did not reach this time

    def add_round(self, this: Round) -> None:
        """Count a round."""
        self.faults += this.struck
        for state in STATES:
            self.counts[state] += this.count(state)
        self.wrong += len(this.findings)

    @property
    def failed(self) -> bool:
        """Whether anything was wrong, or nothing was done."""
        return bool(self.wrong) or (not self.undone and not self.faults)


def format_line(label: str, this: Round) -> str:
    """One round or position, its findings below it."""
    counts = ", ".join(f"{state} {this.count(state)}" for state in STATES)
    told = [f"  {label}: {counts}, wrong {len(this.findings)}"]
    return "\n".join(told + [f"    {finding}" for finding in this.findings[:SHOWN]])


def format_table(tallies: Iterable[Tally]) -> str:
    """Markdown: a row for each kind of fault."""
    rows = [
        "| fault | times | acknowledged | refused | unanswered | wrong |",
        "|---|" + "---:|" * 5,
    ]
    for tally in tallies:
        if tally.undone:
            rows.append(f"| {tally.kind} | not done: {tally.undone} | | | | |")
            continue
        counts = " | ".join(f"{tally.counts[state]:,}" for state in STATES)
        rows.append(f"| {tally.kind} | {tally.faults:,} | {counts} | {tally.wrong:,} |")
    return "\n".join(rows)
