"""`freehold control user …`: accounts, on the machine where the database is.

Whoever may read the keys and write the database may do this; it is on the trail all the same.
"""

from functools import partial
from typing import Annotated

import typer

from ui.cli.control_trail import DEV, Config, DataDir, run_offline
from ui.cli.input import read_new_password
from ui.cli.output import print_note

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

    Every credential of the account ends.
    """
    from control.offline import recover_account

    password = read_new_password("New password")
    do = partial(recover_account, org=organization, name=name, password=password)
    run_offline(config, data_dir, do)
    print_note(f"{organization}/{name} signs in with the new password")
