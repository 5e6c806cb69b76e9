"""How many processes an agent is that is told nothing of them."""

import json
from pathlib import Path

from pydantic import TypeAdapter

from tests.acceptance.agent import running, served_agent
from tests.acceptance.workers.fleet import workers_of
from vault.config.workers import AUTO, WorkerCount


def test_as_many_workers_as_fit_the_machine(folder: Path) -> None:
    """Where one process is all that fits, there is no other; it answers in either form."""
    adapter: TypeAdapter[int] = TypeAdapter(WorkerCount)
    expected = adapter.validate_python(AUTO)
    agent = served_agent(folder)
    file = folder / "vault.yaml"
    config = json.loads(file.read_text())
    del config["server"]["workers"]
    file.write_text(json.dumps(config))
    with running(agent):
        assert len(workers_of(agent)) == (0 if expected == 1 else expected)
        assert agent.call("GET", "/v1/sys/seal-status", token="").status == 200
