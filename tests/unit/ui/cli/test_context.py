import json

import pytest
import typer

from tests.unit.ui.cli.conftest import FakeAgent, Run
from ui.cli.context import CliContext, cli_context
from ui.cli.output import OutputFormat


def test_output_may_stand_before_and_behind_the_command(agent: FakeAgent, cli: Run) -> None:
    """The nearer one wins."""
    for words in (
        ("-o", "json", "role", "list"),
        ("role", "list", "--output", "json"),
        ("-o", "table", "role", "list", "-o", "json"),
    ):
        agent.answer({"roles": [{"name": "ops"}]})
        assert json.loads(cli(*words).out) == [{"name": "ops"}]


def test_the_client_is_made_once_and_only_when_needed(agent: FakeAgent) -> None:
    """A command that needs no agent needs no address either."""
    current = CliContext(None, OutputFormat.TABLE)
    assert current.client is current.client


def test_a_session_is_made_by_the_root(cli: Run) -> None:
    """A command outside of it is a fault of ours."""
    with pytest.raises(RuntimeError):
        cli_context(typer.Context(typer.main.get_command(typer.Typer(callback=print))))
