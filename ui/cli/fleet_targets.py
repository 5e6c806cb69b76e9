"""Whom a pushed policy is to be for, looked at before anything is written."""

from typing import Any, Final

from ui.cli.errors import CliError, Exit
from ui.cli.fleet_context import FleetContext
from ui.cli.output import print_note

_GONE: Final = "retired"

Target = dict[str, Any]


def targets_of_options(tags: list[str], vaults: list[str], *, everybody: bool) -> list[Target]:
    """The targets that a command's options name."""
    targets: list[Target] = [{"tag": one} for one in tags]
    return targets + [{"vault": one} for one in vaults] + ([{"all": True}] if everybody else [])


def warn_unmatched(current: FleetContext, policy: str, targets: list[Target]) -> None:
    """Say which of these targets no agent fits. No targets: those that the policy has.

    Raises `CliError` where a roll-out could reach nobody, ever, or would take the policy from all
    that have it: that is a slip of the hand.
    """
    before = _present(current, policy)
    if not (targets or before):
        raise CliError(
            f"{policy} is for nobody yet: say for whom with --all, --tag or --vault; "
            "nothing was written",
            Exit.USAGE,
        )
    missed = [one for one in targets or before if not _fits_any(current, one)]
    told = "; ".join(_told(one) for one in missed)
    if targets and _kinds(before) - _kinds(targets) and len(missed) == len(targets):
        raise CliError(
            f"{told}: that would take {policy} from those that it is for; nothing was written",
            Exit.NOT_FOUND,
        )
    if missed:
        print_note(f"{told}: {policy} waits for such")


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


def _told(target: Target) -> str:
    if target.get("vault"):
        return f"there is no agent {target['vault']}"
    return f"no agent has the tag {target['tag']}" if target.get("tag") else "there are no agents"
