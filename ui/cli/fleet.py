"""`freehold fleet …`: the agents of an organization, through its control plane."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ui.cli import (
    fleet_channel,
    fleet_compliance,
    fleet_enrolment,
    fleet_policy,
    fleet_usage,
    fleet_user,
)
from ui.cli.api_path import api_path
from ui.cli.arguments import without_empty
from ui.cli.connection_settings import (
    CONTROL_PLANE,
    ConnectionSettings,
    delete_token,
    save_token,
    stored_token,
    token_variable,
)
from ui.cli.context import cli_context, with_output_option
from ui.cli.errors import CliError, CredentialError, Exit
from ui.cli.fleet_context import FleetContext, fleet
from ui.cli.input import read_secret_line
from ui.cli.login import print_token_location
from ui.cli.output import OutputFormat, print_note
from ui.cli.times import MILLI, instant

if TYPE_CHECKING:
    from ui.cli.client import ApiClient

app = typer.Typer(help="The agents of an organization, and their policies.", no_args_is_help=True)
app.add_typer(fleet_policy.app, name="policy")
app.add_typer(fleet_policy.rollouts, name="rollout")
app.add_typer(fleet_enrolment.tokens, name="enrolment-token")
app.add_typer(fleet_user.app, name="user")
app.add_typer(fleet_channel.app, name="channel")
app.add_typer(fleet_usage.app, name="usage")
app.add_typer(fleet_compliance.reports, name="report")
app.add_typer(fleet_compliance.holds, name="hold")
app.command("capacity")(fleet_usage.capacity)
app.command("pending")(fleet_enrolment.pending)
app.command("approve")(fleet_enrolment.approve)
app.command("refuse")(fleet_enrolment.refuse)

COLUMNS: Final = ("vault", "state", "sync", "last_seen", "policy", "tags")
_SAID: Final = ("health", "sync")
_HEARD: Final = ("online", "late")
COMMANDS: Final = ("created_at", "command", "outcome", "reason", "done_at", "created_by", "id")
ALERTS: Final = ("at", "state", "severity", "vault", "code", "count", "message", "id")
Vault = Annotated[str, typer.Argument(help="Name of the agent's vault.")]
Reason = Annotated[str, typer.Option(help="Kept with the agent and in the audit trail.")]


@app.command()
@with_output_option
def login(
    context: typer.Context,
    organization: Annotated[str, typer.Argument(help="Its id; `platform` for super-admins.")],
    name: Annotated[
        str, typer.Argument(help="Your user name there; without it a browser is opened.")
    ] = "",
) -> None:
    """Sign in and keep the session: by password, or at the organization's identity provider.

    With a NAME, password and code are asked for without echo, or read from stdin, a line each; a
    recovery code counts as a code. Without one a browser on this machine goes to the provider.
    """
    from ui.cli.client import ApiClient

    settings = ConnectionSettings.for_control_plane_login(cli_context(context).address)
    client = ApiClient(settings)
    if name:
        body = {
            "organization": organization,
            "name": name,
            "password": read_secret_line("Password"),
        }
        made = _exchange_credentials(
            client, api_path("sessions"), body, "organization, name or password is wrong"
        )
    else:
        made = _sign_in_by_browser(client, settings.address, organization)
    if made["state"] == "second-factor":
        answer = {"challenge": made["challenge"], "code": read_secret_line("Code")}
        wrong = "the code is wrong, used already or too late"
        made = _exchange_credentials(client, api_path("second-factor", "answer"), answer, wrong)
    elif made["state"] != "open":
        raise CliError("your organization wants a second factor: set it up in a browser first")
    save_token(made["secret"], CONTROL_PLANE)
    print_token_location(CONTROL_PLANE)
    user = f"{organization}/{name or made['token']['user']}"
    cli_context(context).print_result({"user": user, "role": made["token"]["role"]})


def _exchange_credentials(client: "ApiClient", path: str, body: dict[str, str], wrong: str) -> Any:
    """What comes of these credentials; `wrong`: what to say of those that are not taken."""
    try:
        return client.call("POST", path, body)
    except CredentialError as error:
        raise CliError(f"{wrong}{error.request}", Exit.DENIED) from None


def _sign_in_by_browser(client: "ApiClient", control: str, organization: str) -> Any:
    """What the control plane gives for the provider's word. Raises `CliError`."""
    from ui.cli.loopback import loopback

    with loopback() as waiting:
        code = waiting.wait_code(waiting.authorization_url(control, organization))
        brought = {"code": code, "verifier": waiting.verifier}
        return client.call("POST", api_path("oidc", "session"), brought)


@app.command()
def logout(context: typer.Context) -> None:
    """End the session that `login` kept; one in FREEHOLD_CONTROL_TOKEN is left alone."""
    from ui.cli.client import ApiClient

    kept, variable = stored_token(CONTROL_PLANE), token_variable(CONTROL_PLANE)
    if not kept:
        other = f"; the one in {variable} is not ended by this" if variable else ""
        raise CliError(f"`{CONTROL_PLANE.login}` has kept no session here{other}", Exit.DENIED)
    client = ApiClient(
        replace(
            ConnectionSettings.for_control_plane_login(cli_context(context).address), token=kept
        )
    )
    client.call("DELETE", api_path("sessions", "current"))
    delete_token(CONTROL_PLANE)
    if variable:
        print_note(f"{variable} is still set, and what it is good for is not ended by this")


@app.command("create-org")
@with_output_option
def create_org(
    context: typer.Context,
    organization: Annotated[str, typer.Argument(help="Its id: a-z, 0-9, '-'.")],
    title: Annotated[str, typer.Option(help="For people.")] = "",
) -> None:
    """Make an organization; for super-admins."""
    current = fleet(context)
    body = without_empty(id=organization, title=title)
    current.print_result(current.client.call("POST", api_path("organizations"), body))


@app.command("list")
@with_output_option
def list_(
    context: typer.Context,
    tag: Annotated[str, typer.Option(help="Only those with this tag.")] = "",
    life: Annotated[str, typer.Option(help="pending, active, locked, retired")] = "",
    state: Annotated[
        str,
        typer.Option(help="online, degraded, late, sealed, refusing, offline, unknown, locked, …"),
    ] = "",
    release: Annotated[str, typer.Option(help="Of Freehold, as the agents say.")] = "",
) -> None:
    """List the agents: the state of each, and whether the policy that it should have is applied."""
    current = fleet(context)
    wanted = {"tag": tag, "life": life, "state": state, "release": release}
    policies = {row["vault"]: row for row in current.fetch_rows("assignments")}
    rows = [
        {**row, **_hide_stale(current, row), "policy": _policy(policies.get(row["vault"]))}
        for row in current.fetch_rows("agents", **without_empty(**wanted))
    ]
    current.print_result(rows, COLUMNS)


@app.command()
@with_output_option
def show(context: typer.Context, vault: Vault) -> None:
    """Show one agent: what it is, and what it should and does enforce."""
    current = fleet(context)
    row = current.call("GET", "agents", vault)
    rows = current.call("GET", "assignments", query={"vault": vault})
    _show(current, {**row, "policy": _policy(rows[0] if rows else None)})


@app.command()
@with_output_option
def tag(
    context: typer.Context,
    vault: Vault,
    tags: Annotated[list[str] | None, typer.Argument(help="All that it is to have.")] = None,
) -> None:
    """Replace an agent's tags; policies by tag follow."""
    current = fleet(context)
    _show(current, current.call("PUT", "agents", vault, "tags", body={"tags": tags or []}))


@app.command()
@with_output_option
def lock(context: typer.Context, vault: Vault, reason: Reason = "") -> None:
    """Cut an agent off: its certificates count no more, until a token that replaces lets it in."""
    current = fleet(context)
    _show(current, current.call("POST", "agents", vault, "lock", body={"reason": reason}))


@app.command()
@with_output_option
def retire(context: typer.Context, vault: Vault, reason: Reason = "") -> None:
    """Cut an agent off for good; its name is not given again."""
    current = fleet(context)
    _show(current, current.call("POST", "agents", vault, "retire", body={"reason": reason}))


@app.command("accept-log")
@with_output_option
def accept_log(context: typer.Context, vault: Vault, reason: Reason = "") -> None:
    """Have an agent's audit log cosigned anew, after a fork or rollback was looked into."""
    body = {"reason": reason}
    fleet(context).call("POST", "agents", vault, "checkpoint", "accept", body=body)
    print_note(f"The next checkpoint of {vault} is cosigned as it is.")


@app.command()
@with_output_option
def alerts(
    context: typer.Context,
    vault: Annotated[str, typer.Option(help="Only of this agent.")] = "",
    state: Annotated[
        str, typer.Option(help="firing, acknowledged, resolved; open: what is not resolved.")
    ] = "open",
    every: Annotated[bool, typer.Option("--all", help="Whatever their state.")] = False,
) -> None:
    """List the newest alerts, as a rule those that are not resolved."""
    current = fleet(context)
    query = without_empty(vault=vault, state="" if every else state)
    current.print_result(current.call("GET", "alerts", query=query), ALERTS)


@app.command("ack")
@with_output_option
def acknowledge(
    context: typer.Context,
    alert: Annotated[str, typer.Argument(help="Its id.")],
    note: Annotated[str, typer.Option(help="Why it came, what was done; kept with it.")] = "",
) -> None:
    """Acknowledge an alert. What nothing ends, such as a lockout, is resolved by it."""
    current = fleet(context)
    body = without_empty(note=note)
    current.print_result(current.call("POST", "alerts", alert, "acknowledge", body=body or None))


@app.command()
@with_output_option
def command(
    context: typer.Context,
    vault: Vault,
    word: Annotated[
        str,
        typer.Argument(
            help="send_metrics, send_checkpoint, send_policy_status, renew_certificate, rotate_kek."
        ),
    ],
) -> None:
    """Ask an agent to do something. `commands` shows what became of it, and why not.

    To rotate its key its owner has to have allowed it: control_plane.allow_commands.
    """
    current = fleet(context)
    current.print_result(current.call("POST", "agents", vault, "commands", body={"command": word}))


@app.command()
@with_output_option
def commands(context: typer.Context, vault: Vault) -> None:
    """List what an agent was asked to do, the newest first."""
    current = fleet(context)
    current.print_result(current.call("GET", "agents", vault, "commands"), COMMANDS)


def _show(current: FleetContext, row: dict[str, Any]) -> None:
    facts = dict(row["facts"]) if "facts" in row else {}
    if started := facts.get("started_at"):
        facts["started_at"] = instant(started * MILLI)
    current.print_result(
        {**row, **({"facts": facts} if facts else {}), **_hide_stale(current, row)}
    )


def _hide_stale(current: FleetContext, row: dict[str, Any]) -> dict[str, str]:
    """What an agent last said of itself is nothing to a person while it is silent."""
    if row["presence"] in _HEARD or current.output_format is not OutputFormat.TABLE:
        return {}
    return dict.fromkeys(_SAID, "")


def _policy(row: dict[str, Any] | None) -> str:
    """How far the bundle is that an agent should have."""
    if row is None:
        return "none"
    names = ", ".join(f"{name} v{version}" for name, version in sorted(row["policies"].items()))
    why = f": {row['reason']}" if row["reason"] else ""
    return f"{row['outcome']}{why} ({names or 'no policy'})"
