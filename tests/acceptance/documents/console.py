"""Console examples of a page: read, run and compared.

An example is a fenced block of the language `console`. A line with `$ ` begins a command, `> `
continues it, everything else is its output. In an output `…` stands for anything. Times, ids, keys,
ports and the width of columns are not compared.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tests.acceptance.command import FREEHOLD

PATIENCE: Final = 240.0  # seconds for all commands of a page
_BLOCK: Final = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK: Final = "--- next command ---"
_VOLATILE: Final = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"\bfdt_[\w-]{60,}"), "TICKET"),
    (re.compile(r"\b([0-9a-f]{64}|[0-9a-f]{32})\b"), "HASH"),
    (re.compile(r"[A-Za-z0-9+/]{43}="), "KEY"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"\b(fh[a-z]+[_.-]|hvs\.)[A-Za-z0-9_-]{8,}"), "TOKEN"),
    (re.compile(r"sha256:[A-Za-z0-9_-]{43}"), "PIN"),
    (re.compile(r"\b([0-9a-f]{4}-){4}[0-9a-f]{4}\b"), "FINGERPRINT"),
    (re.compile(r"freehold-[0-9a-f]{8}\b"), "freehold-ID"),
    (re.compile(r"accessor +[a-z0-9]{24}"), "accessor ACCESSOR"),
    (re.compile(r"\bs\.[A-Za-z0-9]{40,}"), "TOKEN"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "NODE"),
    (re.compile(r"size +\d+"), "size N"),
    (re.compile(r"line \d+, record \d+: .*"), "line N, record N: WHY"),
    (re.compile(r"^\d+ +TIME", re.MULTILINE), "N TIME"),
    (re.compile(r"[ -]{2,}"), " "),  # the width of a column follows from what is in it
    (re.compile(r" +$", re.MULTILINE), ""),
)


class Example(NamedTuple):
    """One command and the output below it."""

    command: str
    output: str


def examples(text: str) -> list[Example]:
    """All examples of a page, in order."""
    found: list[tuple[list[str], list[str]]] = []
    for block in _BLOCK.findall(text):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(([line[2:]], []))
            elif line.startswith("> "):
                found[-1][0].append(line[2:])
            else:
                found[-1][1].append(line)
    return [Example("\n".join(command), "\n".join(shown).strip()) for command, shown in found]


def run(
    commands: list[str], folder: Path, environment: Mapping[str, str], programs: str
) -> list[str]:
    """The output of each command, all of them run by one shell in `folder`.

    `programs`: a folder in which the shell looks first.
    """
    script = "".join(f"{command}\necho '{_MARK}'\n" for command in commands)
    path = f"{programs}:{Path(FREEHOLD).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash"], input=script, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=PATIENCE, check=True,
        env={"PATH": path, "HOME": str(folder), **environment},
    )  # fmt: skip
    return [output.strip() for output in done.stdout.split(f"{_MARK}\n")[:-1]]


def settled(text: str) -> str:
    """The text without what differs from run to run."""
    for pattern, word in _VOLATILE:
        text = pattern.sub(word, text)
    return text


def matches(example: Example, output: str) -> bool:
    """Whether the output is the one that the page shows."""
    pattern = ".*?".join(re.escape(part) for part in settled(example.output).split("…"))
    return re.fullmatch(pattern, settled(output), re.DOTALL) is not None


def recorded(text: str, outputs: list[str]) -> str:
    """The page with these outputs, in order; examples that match keep what they show."""
    wanted = iter(zip(examples(text), outputs, strict=True))

    def block(match: re.Match[str]) -> str:
        lines = []
        for example in examples(match.group()):
            known, output = next(wanted)
            assert known == example
            first, *rest = example.command.split("\n")
            lines += [f"$ {first}", *(f"> {line}" for line in rest)]
            shown = example.output if matches(example, output) else output
            lines += shown.split("\n") if shown else []
        return "```console\n" + "\n".join(lines) + "\n```"

    return _BLOCK.sub(block, text)
