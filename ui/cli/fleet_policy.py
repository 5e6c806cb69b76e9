"""Policies for a fleet: `freehold fleet policy …` and `freehold fleet rollout …`."""

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ui.cli import completion
from ui.cli.command_group import CommandGroup
from ui.cli.context import without_empty
from ui.cli.errors import CliError, Exit
from ui.cli.fleet_context import FleetContext, fleet
from ui.cli.input import read_value
from ui.cli.output import OutputFormat, print_note
from ui.cli.progress import progress
from ui.cli.times import PAST, duration, seconds_since

app = CommandGroup("Policies: written in versions, rolled out to agents.")
rollouts = CommandGroup("Roll-outs of a policy's version.")

MOST_AGENTS: Final = 100_000  # of a plan, as the control plane takes it
MOST_STEPS: Final = 20
POLL_SECONDS: Final = 1.0
HOUR: Final = 3600  # seconds
POLICIES: Final = ("name", "head", "stable", "targets", "changed_at")
STATUS: Final = ("vault", "outcome", "reason", "bundle_version", "applied_version")
AGENTS: Final = ("vault", "state", "denied", "allowed", "unchanged", "undecided", "drifted")
TOTALS: Final = ("id", "states", "accesses", "denied", "allowed", "unchanged", "undecided")
_GONE: Final = "retired"
_ID: Final = "0192f1c4-5d0e-7c3a-9b7e-3f2a1c5d8e90"

Target = dict[str, Any]
Name = Annotated[str, typer.Argument(help="Name of the policy.")]
Rollout = Annotated[str, typer.Argument(help="Id of the roll-out.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the roll-out.")]
File = Annotated[Path | None, typer.Option("--file", "-f", help="JSON; else stdin.")]


@app.command("freehold fleet policy list", name="list")
def list_(context: typer.Context) -> None:
    """List the policies: newest version, stable version, and targets."""
    current = fleet(context)
    current.print_result(current.call("GET", "policies"), POLICIES)


@app.command(
    "freehold fleet policy get team", "freehold fleet policy get team --version 3 > team.json"
)
def get(
    context: typer.Context,
    name: Name,
    version: Annotated[int, typer.Option(help="Print the document of this version.", min=0)] = 0,
) -> None:
    """Show a policy's versions and targets, or with --version the document of one version."""
    current = fleet(context)
    if version:
        found = current.call("GET", "policies", name, "versions", str(version))
        current.print_document(found["document"])
    else:
        current.print_result(current.call("GET", "policies", name))


@app.command(
    "freehold fleet policy push team --file team.json --tag eu",
    "freehold fleet policy push team --file team.json --all --canary 1 --percent 25 --by-hand",
)
def push(
    context: typer.Context,
    name: Name,
    file: File = None,
    everybody: Annotated[bool, typer.Option("--all", help="For every agent.")] = False,
    tag: Annotated[
        list[str] | None, typer.Option(help="For agents with this tag; may be repeated.")
    ] = None,
    vault: Annotated[
        list[str] | None,
        typer.Option(
            help="For this agent; may be repeated.", autocompletion=completion.vault_names
        ),
    ] = None,
    canary: Annotated[
        int, typer.Option(help="Begin with this many agents.", min=0, max=MOST_AGENTS)
    ] = 0,
    percent: Annotated[
        list[int] | None,
        typer.Option(help="Continue with this share; may be repeated.", min=1, max=100),
    ] = None,
    by_hand: Annotated[
        bool, typer.Option("--by-hand", help="Each step waits for `fleet rollout advance`.")
    ] = False,
    max_failures: Annotated[
        int,
        typer.Option(help="Halt when more agents refuse the version.", min=0, max=MOST_AGENTS),
    ] = 0,
    comment: Annotated[str, typer.Option(help="Why; kept with the version.")] = "",
) -> None:
    """Write the next version of a policy and roll it out to its agents.

    Without --all, --tag or --vault the targets stay as they are. A new target gets the version when
    the roll-out reaches it; a former one keeps the policy until the roll-out is done. A push that
    is refused changes nothing, and writes no version.
    """
    if len(percent or []) > MOST_STEPS:
        raise CliError(f"--percent may be given at most {MOST_STEPS} times", Exit.USAGE)
    current = fleet(context)
    document = read_value(file, None, as_json=True)
    targets = targets_of_options(tag or [], vault or [], everybody=everybody)
    warn_unmatched(current, name, targets)
    plan: dict[str, Any] = {"canary": canary, "percentages": percent or []}
    plan |= {"automatic": not by_hand, "max_failures": max_failures}
    terms = without_empty(comment=comment, targets=targets or None)
    body = {"document": document, "plan": plan, **terms}
    current.print_result(current.call("POST", "policies", name, "rollouts", body=body))


@app.command("freehold fleet policy status team")
def status(context: typer.Context, name: Name) -> None:
    """Show what became of a policy at each agent, and why."""
    current = fleet(context)
    current.print_result(list(current.fetch_rows("policies", name, "status")), STATUS)


@app.command(
    "freehold fleet policy replay team --file team.json --since 7d",
    "freehold fleet policy replay team --version 3 --tag eu",
)
def replay(
    context: typer.Context,
    name: Name,
    file: File = None,
    version: Annotated[int, typer.Option(help="A stored version, in place of a file.", min=0)] = 0,
    everybody: Annotated[bool, typer.Option("--all", help="Ask every agent.")] = False,
    tag: Annotated[
        list[str] | None, typer.Option(help="Ask agents with this tag; may be repeated.")
    ] = None,
    vault: Annotated[
        list[str] | None,
        typer.Option(
            help="Ask this agent; may be repeated.", autocompletion=completion.vault_names
        ),
    ] = None,
    since: Annotated[str, typer.Option(help=f"From when on: {PAST}.")] = "24h",
    wait: Annotated[str, typer.Option(help="How long to wait for answers.")] = "60s",
) -> None:
    """Ask agents what a policy would have changed, before it is rolled out. Nothing is changed.

    Without --all, --tag or --vault the targets of the policy are asked. Agents that are offline,
    too old or refuse are listed as such.
    """
    current = fleet(context)
    if not version and file is None and sys.stdin.isatty():
        raise CliError("no policy is given: --file FILE, stdin, or --version N", Exit.USAGE)
    document = (
        None
        if version
        else read_value(file, None, as_json=True, otherwise="--version N for a stored one")
    )
    if not version and not isinstance(document, dict):
        raise CliError("the policy is not a JSON object", Exit.USAGE)
    targets = targets_of_options(tag or [], vault or [], everybody=everybody)
    hours = max(1, -(-seconds_since(since, "--since") // HOUR))
    body = {"hours": hours, "targets": targets, **without_empty(document=document)}
    if version:
        body["version"] = version
    patience = duration(wait, "--wait")
    found = current.call("POST", "policies", name, "replays", body=body)
    with progress("Waiting for agents"):
        for _ in range(patience):
            if not found["open"]:
                break
            _pause()
            found = current.call("GET", "replays", found["id"])
    if current.output_format is not OutputFormat.TABLE:
        current.print_result(found)
        return
    current.print_result({key: found[key] for key in TOTALS})
    current.print_result(found["agents"], AGENTS)
    if found["open"]:
        print_note("freehold: not every agent has answered: repeat it with a longer --wait")


@rollouts.command(f"freehold fleet rollout get {_ID}", name="get")
def get_rollout(context: typer.Context, rollout: Rollout) -> None:
    """Show a roll-out and its progress."""
    current = fleet(context)
    current.print_result(current.call("GET", "rollouts", rollout))


@rollouts.command("freehold fleet rollout list team", name="list")
def list_rollouts(context: typer.Context, name: Name) -> None:
    """List a policy's roll-outs, newest first."""
    current = fleet(context)
    current.print_result(current.call("GET", "policies", name, "rollouts"))


@rollouts.command(f"freehold fleet rollout advance {_ID}")
def advance(
    context: typer.Context,
    rollout: Rollout,
    step: Annotated[
        int | None, typer.Option(help="Only if it is at this step, as `get` shows it.", min=0)
    ] = None,
) -> None:
    """Go to the next step now; a halted roll-out continues.

    After the last step the roll-out is done. Agents that are offline get the version when they come
    back. Without --step it advances from the step where it is now, unless another caller was
    faster.
    """
    current = fleet(context)
    at = current.call("GET", "rollouts", rollout)["step"] if step is None else step
    current.print_result(current.call("POST", "rollouts", rollout, "advance", body={"step": at}))


@rollouts.command(f'freehold fleet rollout halt {_ID} --reason "errors in eu"')
def halt(context: typer.Context, rollout: Rollout, reason: Reason = "") -> None:
    """Stop a roll-out at its current step."""
    current = fleet(context)
    body = {"reason": reason}
    current.print_result(current.call("POST", "rollouts", rollout, "halt", body=body))


@rollouts.command(f'freehold fleet rollout rollback {_ID} --reason "errors in eu"')
def rollback(context: typer.Context, rollout: Rollout, reason: Reason = "") -> None:
    """Give every agent the previous version again."""
    current = fleet(context)
    body = {"reason": reason}
    current.print_result(current.call("POST", "rollouts", rollout, "rollback", body=body))


def _pause() -> None:
    import trio

    trio.run(trio.sleep, POLL_SECONDS)


def targets_of_options(tags: list[str], vaults: list[str], *, everybody: bool) -> list[Target]:
    """The targets that a command's options name."""
    targets: list[Target] = [{"tag": one} for one in tags]
    return targets + [{"vault": one} for one in vaults] + ([{"all": True}] if everybody else [])


def warn_unmatched(current: FleetContext, policy: str, targets: list[Target]) -> None:
    """Warn of targets that match no agent. No targets: those that the policy has.

    Raises `CliError` where the roll-out has no target at all, or would take the policy from every
    agent that has it: that is a slip of the hand.
    """
    before = _present(current, policy)
    if not (targets or before):
        raise CliError(
            f"{policy} has no targets: give --all, --tag or --vault; nothing was written",
            Exit.USAGE,
        )
    missed = [one for one in targets or before if not _fits_any(current, one)]
    missing = "; ".join(_describe(one) for one in missed)
    if targets and _kinds(before) - _kinds(targets) and len(missed) == len(targets):
        raise CliError(
            f"{missing}: that would take {policy} from its present targets; nothing was written",
            Exit.NOT_FOUND,
        )
    if missed:
        print_note(f"{missing}: {policy} waits for one")


def _present(current: FleetContext, policy: str) -> list[Target]:
    try:
        found: list[Target] = current.call("GET", "policies", policy)["targets"]
    except CliError as error:
        if error.exit_code is not Exit.NOT_FOUND:
            raise
        return []
    return found


def _kinds(targets: list[Target]) -> set[frozenset[tuple[str, Any]]]:
    """For what they say, in whatever order and however often."""
    return {frozenset(one.items()) for one in targets}


def _fits_any(current: FleetContext, target: Target) -> bool:
    if (vault := target.get("vault")) is None:
        rows = current.fetch_rows("agents", tag=target.get("tag"))
        return any(row["life"] != _GONE for row in rows)
    try:
        return bool(current.call("GET", "agents", vault)["life"] != _GONE)
    except CliError as error:
        if error.exit_code is not Exit.NOT_FOUND:
            raise
        return False


def _describe(target: Target) -> str:
    if target.get("vault"):
        return f"no agent {target['vault']}"
    return f"no agent has the tag {target['tag']}" if target.get("tag") else "no agents"
