"""Looking for what an agent must not have told, in every spelling and wherever it could lie."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tests.acceptance.agent import Agent
from tests.acceptance.canary.test_canary import forms
from vault.control_link.egress_ledger import read_entries


def frames(folder: Path) -> bytes:
    """Every byte that the agent of this uplink's folder has handed to TLS, as it was sent."""
    return b"".join(entry.content for entry in read_entries(folder / "egress.log"))


def files(folder: Path) -> Iterator[bytes]:
    """What lies there: databases with their journals, logs, outputs."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.read_bytes()


def memory(agent: Agent) -> Iterator[bytes]:
    """All that the running process holds, one mapping after the other."""
    assert agent.process is not None
    process = agent.process.pid
    with Path(f"/proc/{process}/mem").open("rb", buffering=0) as held:
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            where, rights, *_ = line.split()
            if not rights.startswith("rw"):
                continue
            begin, end = (int(part, 16) for part in where.split("-"))
            held.seek(begin)
            try:
                yield held.read(end - begin)
            except OSError:  # of the kernel's own
                continue


def found(values: Mapping[str, str], where: str, contents: Iterable[bytes]) -> set[str]:
    """Which value is there, in which spelling."""
    spelled = [
        (f"{what} in {where}, {form}", text)
        for what, value in values.items()
        for form, text in forms(value.encode())
    ]
    return {told for content in contents for told, text in spelled if text in content}
