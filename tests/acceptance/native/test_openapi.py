"""The served OpenAPI document is true: schemathesis asks the running agent everything it says."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.agent import SEVERAL, Agent

SCHEMATHESIS = str(Path(sys.executable).parent / "schemathesis")
PATIENCE = 1500  # seconds; a minute on an idle machine
SEED = "20260719"
# It would seal the agent, or end the token that the run is made with. Both have tests of their own.
ENDING = ["--exclude-path", "/api/v1/system/seal", "--exclude-operation-id", "tokens_revoke_self"]
# What a name or a time may be cannot all be said in a schema, so valid data may be refused.
UNSAYABLE = ["--exclude-checks", "positive_data_acceptance"]
KNOWN = '[parameters]\n"path.path" = "secret/known"\n"path.name" = "known"\n'
# One method that an operation does not have, of the seven that are tried of each by default.
ONE_METHOD = '[phases.coverage]\nunexpected-methods = ["put"]\n'
ONE_FORM = pytest.mark.parametrize("workers", [SEVERAL], indirect=True)  # it finds the same of both


def schemathesis(agent: Agent, folder: Path, *options: str) -> None:
    """Run it to its end; fails with its report when it finds anything."""
    command = [
        SCHEMATHESIS, "run", f"{agent.address}/api/v1/openapi.json", *ENDING, *UNSAYABLE,
        "-H", f"Authorization: Bearer {agent.token}", "--seed", SEED, "--generation-deterministic",
        "--continue-on-failure", "--warnings", "off", *options,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if done.returncode:
        pytest.fail(f"{done.stdout[-8000:]}\n{done.stderr[-2000:]}")


@ONE_FORM
def test_nothing_undocumented_and_no_fault(agent: Agent, folder: Path) -> None:
    """Valid and invalid requests to every operation: statuses, bodies and headers are as declared.

    No answer is a fault of the agent, what breaks the schema is refused, and nothing answers
    without a credential.
    """
    (folder / "schemathesis.toml").write_text(ONE_METHOD)
    schemathesis(agent, folder, "--max-examples", "2")
    assert "internal" not in agent.output()


@ONE_FORM
def test_things_that_are_there(agent: Agent, folder: Path) -> None:
    """The same with names that exist, so that requests get past "there is no such thing"."""
    for method, path, body in (
        ("POST", "secrets", {"name": "secret/known", "value": {"a": 1}}),
        ("PUT", "policies/known", {"rules": []}),
        ("PUT", "roles/known", {"policies": []}),
    ):
        assert agent.call(method, f"/api/v1/{path}", body).status in {200, 201}
    (folder / "schemathesis.toml").write_text(KNOWN)
    schemathesis(agent, folder, "--max-examples", "5", "--phases", "fuzzing")
    assert "internal" not in agent.output()
