"""The commands that must go alike: stories, each on a mount of its own, told from a clean start.

Where Freehold differs on purpose the step says why, and only its exit code is compared.
`MOUNT` stands for the story's mount; `{name}` for what a step before has kept from its JSON.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """One command, what is typed into it, and what to keep of its JSON (name → dotted path)."""

    command: str
    stdin: str = ""
    keep: dict[str, str] = field(default_factory=dict)
    as_token: str = ""  # the kept token to run it with; empty: root
    differs: str = ""  # why only the exit code is compared


def steps(*commands: "str | Step") -> list[Step]:
    """Steps from commands."""
    return [Step(command) if isinstance(command, str) else command for command in commands]


J = "-format=json"
MADE = {"t": "auth.client_token"}
DEV_SEAL = "the dev agents unseal by different means; the seal story compares this"
WORDS = "the same refusal in other words"
