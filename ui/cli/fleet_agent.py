"""Agents of a fleet: `freehold fleet agent|enrolment-token|join-request|command …`."""

from typing import Annotated, Any, Final, Literal

import typer

from ui.cli import completion
from ui.cli.command_group import CommandGroup
from ui.cli.context import Yes, confirm, without_empty
from ui.cli.fleet_context import FleetContext, fleet
from ui.cli.output import OutputFormat, print_note
from ui.cli.times import MILLI, instant

app = CommandGroup("The agents of the organization.")
vaults = CommandGroup("The vaults that the agents of the organization serve.")
tokens = CommandGroup("Tokens that let one agent enrol, once.")
joins = CommandGroup("Agents that request to join without a token.")
commands = CommandGroup("Commands to an agent.")

COLUMNS: Final = ("vault", "state", "sync", "last_seen", "policy", "tags")
COMMANDS: Final = ("created_at", "command", "outcome", "reason", "done_at", "created_by", "id")
TOKENS: Final = ("id", "vault", "created_by", "expires_at", "used_at")
JOINS: Final = ("id", "fingerprint", "label", "source", "requested_at")
VAULTS: Final = (
    "vault",
    "state",
    "backup",
    "newest_backup",
    "certified",
    "rotation",
    "overdue",
    "nodes",
    "id",
)
_REPORTED: Final = ("health", "sync")
_HEARD: Final = ("online", "late")
Life = Literal["", "pending", "active", "locked", "retired"]
Word = Literal[
    "send_metrics",
    "send_checkpoint",
    "send_policy_status",
    "renew_certificate",
    "rotate_kek",
    "run_backup",
]
RotationWord = Literal["", "none", "good", "failing", "overdue", "stuck"]
BackupWord = Literal["", "off", "good", "late", "failed", "unproven"]
Vault = Annotated[
    str,
    typer.Argument(help="Name of the agent's vault.", autocompletion=completion.vault_names),
]
NewVault = Annotated[str, typer.Argument(help="Name of the agent's vault.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the agent and in the audit log.")]
JoinId = Annotated[str, typer.Argument(help="Id of the join request.")]
Replace = Annotated[
    bool, typer.Option("--replace", help="Let it take over the name of an existing agent.")
]


@app.command(
    "freehold fleet agent list", "freehold fleet agent list --tag eu --state offline", name="list"
)
def list_(
    context: typer.Context,
    tag: Annotated[str, typer.Option(help="Only agents with this tag.")] = "",
    life: Annotated[Life, typer.Option(help="Only agents in this phase of life.")] = "",
    state: Annotated[
        str,
        typer.Option(
            help="Only agents in this state, such as online, degraded, late, sealed, offline."
        ),
    ] = "",
    release: Annotated[str, typer.Option(help="Only agents of this release.")] = "",
    vault_id: Annotated[str, typer.Option(help="Only nodes of the vault with this id.")] = "",
) -> None:
    """List the agents: their state, and whether each applies the policy that it should."""
    current = fleet(context)
    wanted = {"tag": tag, "life": life, "state": state, "release": release, "vault_id": vault_id}
    policies = {row["vault"]: row for row in current.fetch_rows("assignments")}
    rows = [
        {**row, **_hide_stale(current, row), "policy": _policy(policies.get(row["vault"]))}
        for row in current.fetch_rows("agents", **without_empty(**wanted))
    ]
    current.print_result(rows, COLUMNS)


@vaults.command(
    "freehold fleet vault list",
    "freehold fleet vault list --state partial",
    "freehold fleet vault list --uncertified",
    name="list",
)
def list_vaults(
    context: typer.Context,
    state: Annotated[
        str,
        typer.Option(
            help="Only vaults in this state, such as online, partial (some nodes serve), offline."
        ),
    ] = "",
    backup: Annotated[
        BackupWord, typer.Option(help="Only vaults whose backups are in this state.")
    ] = "",
    uncertified: Annotated[
        bool,
        typer.Option("--uncertified", help="Only vaults without a fresh restore certificate."),
    ] = False,
    rotation: Annotated[
        RotationWord, typer.Option(help="Only vaults whose rotations are in this state.")
    ] = "",
) -> None:
    """List the vaults with their nodes. Agents that share a database are nodes of one vault.

    A vault has the name of its first node. It is offline only if all nodes are.
    """
    current = fleet(context)
    certified = "false" if uncertified else ""
    wanted = without_empty(state=state, backup=backup, certified=certified, rotation=rotation)
    rows = list(current.fetch_rows("vaults", **wanted))
    if current.output_format is OutputFormat.TABLE:
        rows = [
            {
                **row,
                "nodes": _nodes(row["nodes"]),
                **_backup(row.get("backup")),
                **_rotation(row.get("rotation")),
            }
            for row in rows
        ]
    current.print_result(rows, VAULTS)


@app.command("freehold fleet agent get web-1")
def get(context: typer.Context, vault: Vault) -> None:
    """Show one agent: its state, and what it should and does enforce."""
    current = fleet(context)
    row = current.call("GET", "agents", vault)
    rows = current.call("GET", "assignments", query={"vault": vault})
    _print(current, {**row, "policy": _policy(rows[0] if rows else None)})


@app.command(
    "freehold fleet agent update web-1 --tag eu --tag web",
    'freehold fleet agent update web-1 --tag ""',
)
def update(
    context: typer.Context,
    vault: Vault,
    tag: Annotated[
        list[str],
        typer.Option(help="A tag; may be repeated. They replace all; an empty one clears them."),
    ],
) -> None:
    """Replace an agent's tags. Policies for these tags follow."""
    current = fleet(context)
    body = {"tags": [each for each in tag if each]}
    _print(current, current.call("PUT", "agents", vault, "tags", body=body))


@app.command('freehold fleet agent lock web-1 --reason "stolen laptop"')
def lock(context: typer.Context, vault: Vault, reason: Reason = "") -> None:
    """Refuse an agent's certificates until it enrols again with a token that has --replace."""
    current = fleet(context)
    _print(current, current.call("POST", "agents", vault, "lock", body={"reason": reason}))


@app.command('freehold fleet agent retire web-1 --reason "machine is gone"')
def retire(context: typer.Context, vault: Vault, reason: Reason = "", yes: Yes = False) -> None:
    """Refuse an agent for good. Its name cannot be used again."""
    confirm(f"Retire the agent {vault} for good?", yes=yes)
    current = fleet(context)
    _print(current, current.call("POST", "agents", vault, "retire", body={"reason": reason}))


@app.command('freehold fleet agent accept-log web-1 --reason "restored from backup"')
def accept_log(context: typer.Context, vault: Vault, reason: Reason = "") -> None:
    """Cosign an agent's audit log again, after you have investigated a fork or a rollback."""
    body = {"reason": reason}
    fleet(context).call("POST", "agents", vault, "checkpoint", "accept", body=body)
    print_note(f"the next checkpoint of {vault} is cosigned as it is")


@tokens.command("freehold fleet enrolment-token create web-1")
def create(context: typer.Context, vault: NewVault, replace: Replace = False) -> None:
    """Create a token for one agent, valid for ten minutes. It is shown once."""
    current = fleet(context)
    body = {"vault": vault, "replace": replace}
    made = current.call("POST", "enrolment-tokens", body=body)
    control = made["control"] or "https://HOST:PORT"
    row = {"token": made["secret"], "pin": made["pin"], "control": made["control"]}
    current.print_result({**row, **made["token"]})
    print_note(
        f"On the agent's machine: freehold agent enrol --control {control} --pin {made['pin']}"
    )
    if not made["control"]:
        print_note("HOST:PORT is where agents reach the control plane: `link` in its settings")


@tokens.command("freehold fleet enrolment-token list", name="list")
def list_tokens(context: typer.Context) -> None:
    """List the enrolment tokens, without their text."""
    current = fleet(context)
    current.print_result(current.call("GET", "enrolment-tokens"), TOKENS)


@tokens.command("freehold fleet enrolment-token delete 0192f1c4-5d0e-7c3a-9b7e-3f2a1c5d8e90")
def delete(
    context: typer.Context,
    token: Annotated[str, typer.Argument(help="Id of the token.")],
    yes: Yes = False,
) -> None:
    """Delete an enrolment token: nobody can enrol with it any more."""
    confirm(f"Delete the enrolment token {token}?", yes=yes)
    fleet(context).call("DELETE", "enrolment-tokens", token)
    print_note(f"enrolment token {token} is deleted")


@joins.command("freehold fleet join-request list", name="list")
def list_joins(context: typer.Context) -> None:
    """List the agents that request to join and wait for an answer."""
    current = fleet(context)
    current.print_result(current.call("GET", "joins"), JOINS)


@joins.command(
    "freehold fleet join-request approve 0192f1c4-5d0e-7c3a-9b7e-3f2a1c5d8e90 web-1 "
    "--fingerprint $FINGERPRINT"
)
def approve(
    context: typer.Context,
    join: JoinId,
    vault: NewVault,
    fingerprint: Annotated[
        str, typer.Option(help="The fingerprint that the agent itself prints; compare both.")
    ],
    replace: Replace = False,
) -> None:
    """Let an agent in under this name."""
    current = fleet(context)
    body = {"vault": vault, "fingerprint": fingerprint, "replace": replace}
    current.print_result(current.call("POST", "joins", join, "approve", body=body))


@joins.command("freehold fleet join-request refuse 0192f1c4-5d0e-7c3a-9b7e-3f2a1c5d8e90")
def refuse(context: typer.Context, join: JoinId) -> None:
    """Refuse an agent."""
    current = fleet(context)
    current.print_result(current.call("POST", "joins", join, "refuse"))


@commands.command("freehold fleet command send web-1 send_metrics")
def send(
    context: typer.Context,
    vault: Vault,
    word: Annotated[Word, typer.Argument(help="The command.", metavar="COMMAND")],
) -> None:
    """Send a command to an agent. `list` shows what became of it, and why.

    The agent's configuration must allow `rotate_kek` and `run_backup`:
    control_plane.allow_commands.
    """
    current = fleet(context)
    current.print_result(current.call("POST", "agents", vault, "commands", body={"command": word}))


@commands.command("freehold fleet command list web-1", name="list")
def list_commands(context: typer.Context, vault: Vault) -> None:
    """List the commands to an agent, newest first."""
    current = fleet(context)
    current.print_result(current.call("GET", "agents", vault, "commands"), COMMANDS)


def _nodes(nodes: list[dict[str, Any]]) -> str:
    """`web-1, web-2 (offline)`: those that serve without a word."""
    return ", ".join(
        node["vault"] if node["state"] == "online" else f"{node['vault']} ({node['state']})"
        for node in nodes
    )


def _backup(row: dict[str, Any] | None) -> dict[str, Any]:
    """Columns of a vault's backups; empty while none was reported."""
    if row is None:
        return {"backup": "", "newest_backup": "", "certified": ""}
    return {"backup": row["state"], "newest_backup": row["newest"], "certified": row["certified"]}


def _rotation(row: dict[str, Any] | None) -> dict[str, Any]:
    """Columns of a vault's rotations; empty while none was reported."""
    if row is None:
        return {"rotation": "", "overdue": ""}
    return {"rotation": row["state"], "overdue": row["overdue"]}


def _print(current: FleetContext, row: dict[str, Any]) -> None:
    facts = dict(row["facts"]) if "facts" in row else {}
    if started := facts.get("started_at"):
        facts["started_at"] = instant(started * MILLI)
    current.print_result(
        {**row, **({"facts": facts} if facts else {}), **_hide_stale(current, row)}
    )


def _hide_stale(current: FleetContext, row: dict[str, Any]) -> dict[str, str]:
    """What an agent last reported of itself is nothing to a person while it is silent."""
    if row["presence"] in _HEARD or current.output_format is not OutputFormat.TABLE:
        return {}
    return dict.fromkeys(_REPORTED, "")


def _policy(row: dict[str, Any] | None) -> str:
    """How far the bundle is that an agent should have."""
    if row is None:
        return "none"
    names = ", ".join(f"{name} v{version}" for name, version in sorted(row["policies"].items()))
    why = f": {row['reason']}" if row["reason"] else ""
    return f"{row['outcome']}{why} ({names or 'no policy'})"
