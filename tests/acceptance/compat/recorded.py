"""What OpenBao answered to the `bao` client, story by story: `openbao.json`.

`python -m tests.acceptance.compat.recorded` tells OpenBao every story anew and writes the answers
down: after a change of a story, of `normal`, or of the OpenBao that is installed. Read the
difference before you commit it.
"""

import json
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import requests

from tests.acceptance.agent import Form
from tests.acceptance.compat import normal
from tests.acceptance.compat.agent import AGENT, SEAL
from tests.acceptance.compat.client import Outcome, tell
from tests.acceptance.compat.kv import KV1, KV2, READER, READER_HCL
from tests.acceptance.compat.servers import BAO, Server, openbao_dev, openbao_new
from tests.acceptance.compat.stories import Step

COMMAND: Final = "python -m tests.acceptance.compat.recorded"
_FILE: Final = Path(__file__).with_name("openbao.json")


@dataclass(frozen=True)
class Story:
    """Steps, and the server that they need."""

    steps: list[Step]
    mount: str = ""
    version: int = 0  # of the key-value mount that is enabled first; 0: none is
    policy: str = ""  # the HCL of the policy `reader`
    is_alone: bool = False  # it sees what other stories have left
    is_new: bool = False  # the server is not initialised


STORIES: Final = {
    **{f"kv 2: {name}": Story(steps, f"two-{name}", 2) for name, steps in KV2.items()},
    **{f"kv 1: {name}": Story(steps, f"one-{name}", 1) for name, steps in KV1.items()},
    **{
        f"agent: {name}": Story(steps, f"agent-{name.replace(' ', '-')}", is_alone=name == "mounts")
        for name, steps in AGENT.items()
    },
    "reader": Story(READER, "two-reader", 2, policy=READER_HCL),
    "seal": Story(SEAL, is_new=True),
}


def enable(server: Server, story: Story, home: Path) -> None:
    """Make the mount that the story needs."""
    if story.version:
        step = Step(f"secrets enable -path={story.mount} -version={story.version} kv")
        assert tell(server, [step], home)[0].exit_code == 0


def call(server: Server, method: str, path: str, **body: object) -> None:
    """One request with the root token."""
    reply = requests.request(
        method,
        server.address + path,
        json=body,
        headers={"Authorization": f"Bearer {server.token}"},
        timeout=30,
    )
    reply.raise_for_status()


def tell_openbao(server: Server, story: Story, home: Path) -> list[Outcome]:
    """What OpenBao answers to each step."""
    enable(server, story, home)
    if story.policy:
        policy = story.policy.replace("MOUNT", story.mount)
        call(server, "PUT", "/v1/sys/policies/acl/reader", policy=policy)
    return tell(server, story.steps, home, story.mount)


def answers(name: str) -> list[Outcome]:
    """What it answered when it was asked last. Raises `AssertionError` where that was another."""
    recorded = _read()["stories"].get(name, {})
    assert recorded.get("story") == _digest(STORIES[name]), f"this is not on record: run {COMMAND}"
    return [Outcome(**outcome) for outcome in recorded["answers"]]


def recorded_version() -> str:
    """That of the OpenBao that was asked."""
    return str(_read()["version"])


def installed_version() -> str:
    """That of the OpenBao that is installed."""
    return subprocess.run(
        [BAO, "version"], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def _read() -> Any:
    return json.loads(_FILE.read_text())


def _digest(story: Story) -> str:
    """Of what is asked, and of how an answer is made comparable."""
    made = Path(normal.__file__).read_text()
    return sha256(f"{story}\n{made}".encode()).hexdigest()


def _record(home: Path) -> dict[str, Any]:
    form = Form(1)  # of Freehold; OpenBao has none
    recorded: dict[str, Any] = {}
    with ExitStack() as stack:
        together = stack.enter_context(openbao_dev(_folder(home, "together"), form))
        for name, story in STORIES.items():
            server = together
            if story.is_alone or story.is_new:
                start = openbao_new if story.is_new else openbao_dev
                server = stack.enter_context(start(_folder(home, name), form))
            told = tell_openbao(server, story, home)
            recorded[name] = {"story": _digest(story), "answers": [asdict(each) for each in told]}
    return {"version": installed_version(), "stories": recorded}


def _text(recorded: dict[str, Any]) -> str:
    """As JSON, a line for each answer."""
    stories = (
        f'{json.dumps(name)}: {{"story": {json.dumps(story["story"])}, "answers": [\n'
        + ",\n".join(json.dumps(each, ensure_ascii=False) for each in story["answers"])
        + "\n]}"
        for name, story in recorded["stories"].items()
    )
    head = f'"version": {json.dumps(recorded["version"])}'
    return f'{{{head}, "stories": {{\n' + ",\n".join(stories) + "\n}}\n"


def _folder(home: Path, name: str) -> Path:
    folder = home / name
    folder.mkdir()
    return folder


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        made = _record(Path(scratch))
    _FILE.write_text(_text(made))
