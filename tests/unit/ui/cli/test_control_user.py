"""An account is let in again, and whoever does it learns what to review."""

import pytest

from control.services.delegated_authority import Delegations
from tests.unit.ui.cli.conftest import Run
from ui.cli import control


def test_what_the_account_set_up_is_told(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was withdrawn, what goes on, and where to look for the rest."""
    found = Delegations({"acme": ["invitation of m@b.example"]}, {"acme": ["channel ops (h)"]})
    monkeypatch.setattr(control, "run_offline", lambda *_: found)
    done = cli("control", "user", "recover", "acme", "ann", stdin="a long password")
    assert done.code == 0, done.err
    assert done.err.splitlines() == [
        "acme/ann signs in with the new password",
        "acme: withdrawn: invitation of m@b.example",
        "acme: still active: channel ops (h)",
        "review what is still active, and in the audit log what acme/ann did lately",
    ]
