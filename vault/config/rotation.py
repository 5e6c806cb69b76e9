"""Rotation: what only the agent's own file may allow, and no API."""

from typing import Annotated, Final

from pydantic import Field

from protocols.settings.field_types import FilePath, Section

MAX_ORIGINS: Final = 64


class RotationSettings(Section):
    """`webhooks`: origins that webhook rotators may send to. `launcher`: the socket of scripts."""

    webhooks: Annotated[tuple[str, ...], Field(max_length=MAX_ORIGINS)] = ()
    launcher: FilePath | None = None
