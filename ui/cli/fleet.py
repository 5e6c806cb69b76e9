"""`freehold fleet …`: an organization's agents, policies and people, at its control plane."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ui.cli import (
    fleet_agent,
    fleet_alert,
    fleet_channel,
    fleet_compliance,
    fleet_policy,
    fleet_usage,
    fleet_user,
)
from ui.cli.command_group import CommandGroup
from ui.cli.connection_settings import (
    CONTROL_PLANE,
    ConnectionSettings,
    delete_token,
    save_token,
    stored_token,
    token_variable,
)
from ui.cli.context import api_path, cli_context, without_empty
from ui.cli.errors import CliError, CredentialError, Exit
from ui.cli.fleet_context import PAGE_SIZE, fleet
from ui.cli.input import read_secret_line
from ui.cli.login import print_token_location
from ui.cli.output import print_note

if TYPE_CHECKING:
    from ui.cli.client import ApiClient

app = CommandGroup("An organization: its agents, policies, alerts, people.")
organizations = CommandGroup("Organizations, for super-admins.")


@app.command("freehold fleet login acme ann", "freehold fleet login acme")
def login(
    context: typer.Context,
    organization: Annotated[
        str, typer.Argument(help="Id of your organization; `platform` for super-admins.")
    ],
    name: Annotated[
        str, typer.Argument(help="Your user name; without it a browser is opened.")
    ] = "",
) -> None:
    """Sign in and store the session, by password or at your organization's identity provider.

    With a NAME, the password and the second factor's code are asked for without echo, or read from
    stdin, a line each; a recovery code works as a code. Without one, a browser on this machine
    opens the identity provider.
    """
    from ui.cli.client import ApiClient

    settings = ConnectionSettings.for_control_plane_login(cli_context(context).address)
    client = ApiClient(settings)
    if name:
        body = {
            "organization": organization, "name": name, "password": read_secret_line("Password")
        }  # fmt: skip
        made = _exchange_credentials(
            client, api_path("sessions"), body, "organization, name or password is wrong"
        )
    else:
        made = _sign_in_by_browser(client, settings.address, organization)
    if made["state"] == "second-factor":
        answer = {"challenge": made["challenge"], "code": read_secret_line("Code")}
        wrong = "the code is wrong, was used before, or is too late"
        made = _exchange_credentials(client, api_path("second-factor", "answer"), answer, wrong)
    elif made["state"] != "open":
        raise CliError(
            "your organization requires a second factor: set it up in a browser first", Exit.DENIED
        )
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


@app.command("freehold fleet logout")
def logout(context: typer.Context) -> None:
    """End the session that `login` stored. A session in FREEHOLD_CONTROL_TOKEN stays valid."""
    from ui.cli.client import ApiClient

    kept, variable = stored_token(CONTROL_PLANE), token_variable(CONTROL_PLANE)
    if not kept:
        other = f"; the session in {variable} stays valid" if variable else ""
        raise CliError(f"`{CONTROL_PLANE.login}` has stored no session here{other}", Exit.DENIED)
    settings = ConnectionSettings.for_control_plane_login(cli_context(context).address)
    ApiClient(replace(settings, token=kept)).call("DELETE", api_path("sessions", "current"))
    delete_token(CONTROL_PLANE)
    if variable:
        print_note(f"{variable} is still set, and its session stays valid")


app.add_group(fleet_agent.app, "agent")
app.add_group(fleet_agent.vaults, "vault")
app.add_group(fleet_agent.tokens, "enrolment-token")
app.add_group(fleet_agent.joins, "join-request")
app.add_group(fleet_agent.commands, "command")
app.add_group(fleet_policy.app, "policy")
app.add_group(fleet_policy.rollouts, "rollout")
app.add_group(fleet_alert.app, "alert")
app.add_group(fleet_channel.app, "channel")
app.add_group(fleet_usage.app, "usage")
app.add_group(fleet_usage.capacity, "capacity")
app.add_group(fleet_compliance.reports, "report")
app.add_group(fleet_compliance.schedules, "report-schedule")
app.add_group(fleet_compliance.holds, "hold")
app.add_group(fleet_user.app, "user")
app.add_group(fleet_user.invitations, "invitation")
app.add_group(organizations, "organization")


@organizations.command('freehold fleet organization create acme --title "Acme Ltd"')
def create(
    context: typer.Context,
    organization: Annotated[str, typer.Argument(help="Its id: a-z, 0-9, '-'.")],
    title: Annotated[str, typer.Option(help="Its name for people.")] = "",
) -> None:
    """Create an organization."""
    current = fleet(context)
    body = without_empty(id=organization, title=title)
    current.print_result(current.client.call("POST", api_path("organizations"), body))


@organizations.command("freehold fleet organization list", name="list")
def list_(context: typer.Context) -> None:
    """List the organizations."""
    current = fleet(context)
    query = {"limit": PAGE_SIZE}
    current.print_result(current.client.call("GET", api_path("organizations"), query=query))
