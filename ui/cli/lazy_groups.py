"""The groups of commands, each loaded when somebody asks for it.

Every command starts that much sooner: to load them all is half of what is done before the first of
them runs, and an agent's start waits for it, too.
"""

from collections import UserDict
from importlib import import_module
from typing import Any, Final

from typer.core import TyperGroup
from typer.main import get_group

GROUPS: Final = (
    "secret", "policy", "user", "role", "key", "token", "mount", "audit", "operator", "agent",
    "control", "fleet",
)  # fmt: skip
"""In the order of the help; each is a module beside this one, and its `app`."""


class LazyGroups(TyperGroup):
    """The root: its own commands, and `GROUPS`."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _LazyCommands({**self.commands, **dict.fromkeys(GROUPS)})


class _LazyCommands(UserDict[str, Any]):
    """Commands by name; None: not loaded yet."""

    def __getitem__(self, name: str) -> Any:
        if self.data[name] is None:
            group = get_group(import_module(f"ui.cli.{name}").app)
            group.name = name
            self.data[name] = group
        return self.data[name]
