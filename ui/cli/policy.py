"""`freehold policy …`: write, read, test and replay policies."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from ui.cli import completion
from ui.cli.command_group import CommandGroup
from ui.cli.context import Yes, api_path, cli_context, confirm, without_empty
from ui.cli.errors import CliError, Exit
from ui.cli.input import read_value
from ui.cli.output import OutputFormat, print_note
from ui.cli.progress import progress
from ui.cli.times import FUTURE, PAST, future_time, past_time

app = CommandGroup("Who may do what.")

COUNTS: Final = (
    *("since", "until", "reached", "records", "accesses", "unchanged", "denied", "allowed"),
    *("undecided", "drifted", "others"),
)
CHANGES: Final = ("allowed", "count", "actor_name", "operation", "path", "rule", "rule_now", "last")
_SOURCES: Final = ("local", "control_plane")
Capability = Literal[
    "create", "read", "read_metadata", "update", "delete", "destroy", "list", "sudo"
]
Name = Annotated[
    str, typer.Argument(help="Name of the policy.", autocompletion=completion.policy_names)
]


@app.command("freehold policy list", name="list")
def list_(context: typer.Context) -> None:
    """List the policies, and whether each is of this agent or of its control plane."""
    current = cli_context(context)
    found = current.client.call("GET", api_path("policies"))
    rows = [
        {"name": name, "source": [each for each in _SOURCES if name in found[each]]}
        for name in found["policies"]
    ]
    if current.output_format is OutputFormat.TABLE:
        rows = [row | {"source": ", ".join(row["source"])} for row in rows]
    current.print_result(rows)


@app.command("freehold policy get app-read > app-read.hcl", "freehold policy get --effective")
def get(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="Name of the policy.", autocompletion=completion.policy_names)
    ] = "",
    effective: Annotated[
        bool, typer.Option("--effective", help="All policies that apply to you.")
    ] = False,
) -> None:
    """Show a policy as `put` takes it: as it was written in HCL, else (or with -o) as JSON."""
    if bool(name) == effective:
        raise typer.BadParameter("give either a name or --effective")
    current = cli_context(context)
    if effective:
        current.print_document(current.client.call("GET", api_path("policies-effective")))
        return
    found = current.client.call("GET", api_path("policies", name))
    if found.pop("source", "") == "control_plane":
        print_note(f"{name} is a policy of the control plane: change it there")
    if "acl" in found and current.output_format is OutputFormat.TABLE:
        sys.stdout.write(found["acl"].rstrip("\n") + "\n")
        return
    current.print_document(found)


@app.command(
    "freehold policy put app-read --file app-read.hcl", "freehold policy put app-read < new.json"
)
def put(
    context: typer.Context,
    name: Name,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="JSON or HCL; else stdin.")
    ] = None,
    cas: Annotated[
        int | None, typer.Option(min=0, help="Only if this is its version; 0: if there is none.")
    ] = None,
) -> None:
    """Create or replace a policy, from stdin by default. It is in force at once.

    JSON with `rules`, or a policy as Vault and OpenBao take it: HCL, or JSON with `path`.
    """
    current = cli_context(context)
    policy = _document(name, file)
    path = api_path("policies", name)
    current.print_result(current.client.call("PUT", path, policy, query={"cas": cas}))


@app.command("freehold policy delete app-read", "freehold policy delete app-read --yes")
def delete(context: typer.Context, name: Name, yes: Yes = False) -> None:
    """Delete a policy; it is out of force at once."""
    confirm(f"Delete the policy {name}?", yes=yes)
    cli_context(context).client.call("DELETE", api_path("policies", name))
    print_note(f"policy {name} is deleted and out of force")


@app.command(
    "freehold policy check read secret/app/db",
    "freehold policy check update secret/app/db --user ann --at 2026-12-24T18:00:00Z",
)
def check(
    context: typer.Context,
    capability: Annotated[Capability, typer.Argument(help="What would be done.")],
    path: Annotated[
        str,
        typer.Argument(help="Such as secret/app/db.", autocompletion=completion.secret_names),
    ],
    user: Annotated[
        str,
        typer.Option(help="As this user, not as yourself.", autocompletion=completion.user_names),
    ] = "",
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="With this policy; may be repeated.", autocompletion=completion.policy_names
        ),
    ] = None,
    ip: Annotated[str, typer.Option(help="From this address.")] = "",
    at: Annotated[str, typer.Option(help=f"At this time: {FUTURE}.")] = "",
) -> None:
    """Test whether a request would be allowed, and by which rule. Exit code 4 if it would not."""
    current = cli_context(context)
    body = without_empty(
        capability=capability,
        path=path,
        user=user,
        policies=policy,
        ip=ip,
        at=future_time(at, "--at"),
    )
    decision = current.client.call("POST", api_path("policies-dry-run"), body)
    if current.output_format is OutputFormat.TABLE:
        for name in decision.pop("unknown", ()):
            print_note(f"Warning: no policy {name}: it allows and denies nothing")
    current.print_result(decision)
    if not decision["allowed"]:
        raise typer.Exit(Exit.DENIED)


@app.command("freehold policy explain fdt_TICKET", "freehold policy explain - < ticket")
def explain(
    context: typer.Context,
    ticket: Annotated[str, typer.Argument(help="As the refusal has it; -: from stdin.")],
) -> None:
    """Say what was refused to whom, by the ticket of the refusal, and what is missing now.

    A ticket tells its holder nothing, so people may send it to an administrator as it is.
    """
    current = cli_context(context)
    text = sys.stdin.read() if ticket == "-" else ticket
    current.print_result(
        current.client.call("POST", api_path("policies-explain"), {"ticket": text.strip()})
    )


@app.command(
    "freehold policy convert app-read --file app-read.hcl > app-read.json",
    "freehold policy convert app-read --file - < rules.json",
)
def convert(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="A stored policy; with --file or stdin, any name.",
            autocompletion=completion.policy_names,
        ),
    ],
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="JSON or HCL; -: stdin. Else as stored.")
    ] = None,
) -> None:
    """Print a policy in the other language: HCL for rules, rules for HCL. Nothing is written.

    What does not map is told on stderr; then the exit code is 1. Read it before you use the result.
    """
    current = cli_context(context)
    if file is None:
        policy = current.client.call("GET", api_path("policies", name))
        policy.pop("source", None)
    else:
        policy = _document(name, None if str(file) == "-" else file)
    found = current.client.call("POST", api_path("policies-convert"), policy)
    for note in found["notes"]:
        print_note(f"Warning: {note}")
    if found["acl"] or "acl" not in policy:
        sys.stdout.write(found["acl"])
    else:
        rules = [{key: item for key, item in rule.items() if item} for rule in found["rules"]]
        current.print_document({"rules": rules})
    if not found["exact"]:
        raise typer.Exit(Exit.ERROR)


@app.command("freehold policy grant fdt_TICKET --for 1h", "freehold policy grant - < ticket")
def grant(
    context: typer.Context,
    ticket: Annotated[str, typer.Argument(help="As the refusal has it; -: from stdin.")],
    duration: Annotated[str, typer.Option("--for", help="For how long, at most 24h.")] = "1h",
) -> None:
    """Allow what was refused, by the ticket of the refusal, for a time. It ends by itself.

    For whoever was refused and for that path alone, and only while you may do it yourself.
    """
    current = cli_context(context)
    text = sys.stdin.read() if ticket == "-" else ticket
    body = {"ticket": text.strip(), "duration": duration}
    current.print_result(current.client.call("POST", api_path("policies-grants"), body))


@app.command("freehold policy grants")
def grants(context: typer.Context) -> None:
    """List what is granted for a time, the next to end first."""
    current = cli_context(context)
    columns = ("id", "subject_name", "capability", "path", "expires_at", "granted_by")
    found = current.client.call("GET", api_path("policies-grants"))
    current.print_result(found["grants"], columns)


@app.command("freehold policy revoke ID")
def revoke(
    context: typer.Context, id_: Annotated[str, typer.Argument(metavar="ID", help="Of the grant.")]
) -> None:
    """End a grant at once."""
    cli_context(context).client.call("DELETE", api_path("policies-grants", id_))
    print_note(f"grant {id_} is ended")


@app.command(
    "freehold policy replay app-read --file new.json --since 7d",
    "freehold policy replay --delete app-read",
)
def replay(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="The policy that would be written.", autocompletion=completion.policy_names
        ),
    ] = "",
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Its document; else stdin.")
    ] = None,
    delete: Annotated[
        list[str] | None,
        typer.Option(
            help="A policy that would be deleted; may be repeated.",
            autocompletion=completion.policy_names,
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="A JSON list of documents, in place of the control plane's policies."),
    ] = None,
    since: Annotated[str, typer.Option(help=f"From when on: {PAST}.")] = "24h",
    limit: Annotated[int, typer.Option(min=0, max=500, help="Changes to show.")] = 100,
) -> None:
    """Decide the accesses in the audit log again, under other policies. Nothing is changed.

    Prints what would be denied or allowed from now on, and how many could not be decided again.
    """
    body: dict[str, Any] = {"limit": limit, "since": past_time(since, "--since")}
    if name:
        body["write"] = [_document(name, file)]
    elif file is not None:
        raise typer.BadParameter("--file is the document of a policy: give its name too")
    if delete:
        body["delete"] = delete
    if bundle is not None:
        body["bundle"] = _documents(bundle)
    current = cli_context(context)
    with progress("Replaying accesses"):
        found = current.client.call("POST", api_path("policies-replay"), body)
    if current.output_format is not OutputFormat.TABLE:
        current.print_result(found)
        return
    current.print_result({key: found[key] for key in COUNTS})
    if found["changes"]:
        current.print_result(found["changes"], CHANGES)
    if found["stopped"]:
        print_note(f"freehold: not everything was checked, only what came after {found['reached']}")


def _document(name: str, file: Path | None) -> dict[str, Any]:
    """A policy in either form. What is no JSON, or has `path` and no rules, is for Vault."""
    text = read_value(file, None, as_json=False)
    if not text.strip():
        raise CliError(
            f"{file or 'stdin'} is empty: give a policy, --file FILE or stdin", Exit.USAGE
        )
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {"name": name, "acl": text}
    if not isinstance(found, dict):
        raise CliError("the policy is not a JSON object", Exit.USAGE)
    if "path" in found and "rules" not in found:
        return {"name": name, "acl": text}
    return {**found, "name": name}


def _documents(file: Path) -> list[Any]:
    found = read_value(file, None, as_json=True, option="--bundle FILE")
    if not isinstance(found, list):
        raise CliError("the bundle is not a JSON list of policies", Exit.USAGE)
    return found
