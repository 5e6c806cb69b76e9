"""An account is let in again, and whoever does it learns what to review."""

import pytest
from typer.testing import CliRunner

from control.services.delegated_authority import Delegations
from ui.cli import control_user


def test_what_the_account_set_up_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was withdrawn, what goes on, and where to look for the rest."""
    found = Delegations({"acme": ["invitation of m@b.example"]}, {"acme": ["channel ops (h)"]})
    monkeypatch.setattr(control_user, "offline", lambda *_: found)
    told = CliRunner().invoke(control_user.app, ["recover", "acme", "ann"], input="a long password")
    assert told.exit_code == 0, told.output
    assert told.stderr.splitlines() == [
        "acme/ann signs in with the new password",
        "acme: withdrawn: invitation of m@b.example",
        "acme: still active: channel ops (h)",
        "review what is still active, and in the audit log what acme/ann did lately",
    ]
