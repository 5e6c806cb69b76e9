"""`key=value` arguments."""

import typer


def parse_pairs(items: list[str] | None) -> dict[str, str]:
    """The pairs as a dict, a later one winning. Raises `typer.BadParameter`."""
    split = [item.partition("=") for item in items or []]
    if any(not sign or not key for key, sign, _ in split):
        raise typer.BadParameter("must look like key=value")
    return {key: value for key, _, value in split}


def without_empty(**fields: object) -> dict[str, object]:
    """The fields that were given on the command line: neither None nor empty text."""
    return {name: value for name, value in fields.items() if value not in (None, "")}
