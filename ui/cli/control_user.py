"""`freehold control user …`: accounts, on the machine where the database is.

Whoever may read the keys and write the database may do this; it is on the trail all the same.
"""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ui.cli.control_trail import DEV, Config, DataDir, offline
from ui.cli.output import tell
from ui.cli.source import read_new

if TYPE_CHECKING:
    from control.services.delegated_authority import Delegations

app = typer.Typer(help="Accounts, when nobody gets in any more.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Accounts, when nobody gets in any more."""


@app.command()
def recover(
    organization: Annotated[str, typer.Argument(help="Of the account; `platform` has all power.")],
    name: Annotated[str, typer.Argument(help="Its name.")],
    config: Config = None,
    data_dir: DataDir = DEV,
) -> None:
    """Give a new password (asked for, or from stdin), take the second factor away, let it in again.

    Every credential of the account ends, and what it has issued and nobody has used: invitations,
    enrolment tokens, approvals of agents. Channels, report schedules and running roll-outs that it
    set up are listed, for you to review.
    """
    from control.offline import recover_account

    password = read_new("New password")
    do = partial(recover_account, org=organization, name=name, password=password)
    found: Delegations = offline(config, data_dir, do)
    account = f"{organization}/{name}"
    tell(f"{account} signs in with the new password")
    for org in found.organizations:
        for what in found.withdrawn.get(org, []):
            tell(f"{org}: withdrawn: {what}")
        for what in found.active.get(org, []):
            tell(f"{org}: still active: {what}")
    if found.active:
        tell(f"review what is still active, and in the audit log what {account} did lately")
