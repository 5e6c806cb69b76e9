"""The served OpenAPI document is true: schemathesis asks the control plane everything it says."""

import subprocess
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from tests.acceptance.control.plane import Plane
from tests.acceptance.native.test_openapi import (
    ONE_METHOD,
    PATIENCE,
    SCHEMATHESIS,
    SEED,
    UNSAYABLE,
)

# They would end the session that the run is made with, or ask hosts that are made up.
ENDING = [
    "--exclude-operation-id", "sessions_logout",
    "--exclude-operation-id", "sessions_end",
    "--exclude-operation-id", "sessions_own_password",
    "--exclude-operation-id", "sessions_switch",
    "--exclude-operation-id", "second-factors_confirm",
    "--exclude-operation-id", "organizations_change",
    "--exclude-operation-id", "oidc_put",
    "--exclude-operation-id", "channels_test",
    "--exclude-operation-id", "tokens_revoke",
    "--exclude-operation-id", "users_change_user",
    "--exclude-operation-id", "users_set_password",
    "--exclude-operation-id", "users_delete_user",
]  # fmt: skip
KNOWN = '[parameters]\n"path.org" = "acme"\n' + ONE_METHOD


def test_it_is_valid(plane: Plane) -> None:
    """A 3.1 document by the standard's own schema."""
    validate(plane.want(200, "GET", "openapi.json", token=""))


def test_nothing_undocumented_and_no_fault(plane: Plane, tmp_path: Path) -> None:
    """Statuses, bodies and headers are as declared; what breaks the schema is refused."""
    (tmp_path / "schemathesis.toml").write_text(KNOWN)
    command = [
        SCHEMATHESIS, "run", f"{plane.address}/api/v1/openapi.json", *ENDING, *UNSAYABLE,
        "-H", f"Authorization: Bearer {plane.token}", "--seed", SEED, "--generation-deterministic",
        "--continue-on-failure", "--warnings", "off", "--max-examples", "2",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if done.returncode:
        pytest.fail(f"{done.stdout[-12000:]}\n{done.stderr[-2000:]}")
    assert "failed with" not in plane.output()
