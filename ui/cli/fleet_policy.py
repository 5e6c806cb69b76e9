"""Policies for a fleet: `freehold fleet policy …` and `freehold fleet rollout …`."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ui.cli.arguments import without_empty
from ui.cli.context import with_output_option
from ui.cli.errors import CliError, Exit
from ui.cli.fleet_context import fleet
from ui.cli.fleet_replay import replay
from ui.cli.fleet_targets import targets_of_options, warn_unmatched
from ui.cli.input import read_value

app = typer.Typer(help="Policies: written in versions, brought to agents.", no_args_is_help=True)
app.command()(replay)
rollouts = typer.Typer(help="A policy's version on its way.", no_args_is_help=True)

MOST_AGENTS: Final = 100_000  # of a plan, as the control plane takes it
MOST_STEPS: Final = 20
POLICIES: Final = ("name", "head", "stable", "targets", "changed_at")
STATUS: Final = ("vault", "outcome", "reason", "bundle_version", "applied_version")
Name = Annotated[str, typer.Argument(help="Name of the policy.")]
Rollout = Annotated[str, typer.Argument(help="Id of the roll-out.")]
Reason = Annotated[str, typer.Option(help="Kept with it.")]


@app.command("list")
@with_output_option
def list_(context: typer.Context) -> None:
    """List the policies: newest version, version in general use, and whom each is for."""
    current = fleet(context)
    current.print_result(current.call("GET", "policies"), POLICIES)


@app.command()
@with_output_option
def push(
    context: typer.Context,
    name: Name,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="JSON; else stdin.")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="For every agent.")] = False,
    tag: Annotated[list[str] | None, typer.Option(help="For agents with this tag.")] = None,
    vault: Annotated[list[str] | None, typer.Option(help="For this agent.")] = None,
    canary: Annotated[int, typer.Option(help="So many agents first.", min=0, max=MOST_AGENTS)] = 0,
    percent: Annotated[
        list[int] | None, typer.Option(help="Then this share; repeat.", min=1, max=100)
    ] = None,
    by_hand: Annotated[
        bool, typer.Option("--by-hand", help="Each step waits for `fleet rollout advance`.")
    ] = False,
    max_failures: Annotated[
        int, typer.Option(help="More that refuse halt it.", min=0, max=MOST_AGENTS)
    ] = 0,
    comment: Annotated[str, typer.Option(help="Why; kept with the version.")] = "",
) -> None:
    """Write the next version of a policy and bring it to its agents.

    Without --all, --tag or --vault it is for whom it was for before. An agent that these add gets
    the version when the roll-out reaches it; one that they leave out keeps the policy until the
    roll-out is done. A refusal changes nothing, and writes no version.
    """
    if len(percent or []) > MOST_STEPS:
        raise CliError(f"--percent is given at most {MOST_STEPS} times", Exit.USAGE)
    current = fleet(context)
    document = read_value(file, None, as_json=True)
    targets = targets_of_options(tag or [], vault or [], everybody=everybody)
    warn_unmatched(current, name, targets)
    plan: dict[str, Any] = {"canary": canary, "percentages": percent or []}
    plan |= {"automatic": not by_hand, "max_failures": max_failures}
    body = {
        "document": document,
        "plan": plan,
        **without_empty(comment=comment, targets=targets or None),
    }
    current.print_result(current.call("POST", "policies", name, "rollouts", body=body))


@app.command()
@with_output_option
def status(context: typer.Context, name: Name) -> None:
    """Show what became of a policy at each agent, and why not."""
    current = fleet(context)
    current.print_result(list(current.fetch_rows("policies", name, "status")), STATUS)


@rollouts.command()
@with_output_option
def show(context: typer.Context, rollout: Rollout) -> None:
    """Show a roll-out and how it fares."""
    current = fleet(context)
    current.print_result(current.call("GET", "rollouts", rollout))


@rollouts.command("list")
@with_output_option
def rollouts_of(context: typer.Context, name: Name) -> None:
    """List a policy's roll-outs, the newest first."""
    current = fleet(context)
    current.print_result(current.call("GET", "policies", name, "rollouts"))


@rollouts.command()
@with_output_option
def advance(
    context: typer.Context,
    rollout: Rollout,
    step: Annotated[
        int | None, typer.Option(help="Only if it is at this step, as `show` has it.", min=0)
    ] = None,
) -> None:
    """Go to the next step now; a halted one goes on.

    From the last step it is done, whoever is still away: they get the version when they come back.

    It goes from the step where it is found, or stays if another one was quicker.
    """
    current = fleet(context)
    at = current.call("GET", "rollouts", rollout)["step"] if step is None else step
    current.print_result(current.call("POST", "rollouts", rollout, "advance", body={"step": at}))


@rollouts.command()
@with_output_option
def halt(context: typer.Context, rollout: Rollout, reason: Reason = "") -> None:
    """Stay where it is."""
    current = fleet(context)
    current.print_result(current.call("POST", "rollouts", rollout, "halt", body={"reason": reason}))


@rollouts.command()
@with_output_option
def rollback(context: typer.Context, rollout: Rollout, reason: Reason = "") -> None:
    """Give everybody the previous version again."""
    current = fleet(context)
    current.print_result(
        current.call("POST", "rollouts", rollout, "rollback", body={"reason": reason})
    )
