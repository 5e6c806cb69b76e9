"""The kinds of value that a configuration file holds: times, sizes, files, and things to come."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from protocols.errors import ValidationError
from protocols.instant import parse_duration

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT]?)(i?)B)?", re.ASCII | re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class Section(BaseModel):
    """A part of the file: frozen, unknown keys are errors, and no error repeats a value."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def parse_size(value: object) -> int:
    """Bytes, as a number or as text such as `100MB` (10^6) or `64MiB` (2^20); else `ValueError`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(str(value).strip())
    if match is None:
        raise ValueError("is not a size such as 100MB or 64MiB")
    number, prefix, binary = match.groups()
    base = 1024 if binary else 1000
    return int(Decimal(number) * base ** _POWERS[(prefix or "").lower()])


def _duration(value: object) -> int:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ValueError("is not a duration such as 30s, 24h or 90d")  # noqa: TRY004 # pydantic's
    try:
        return parse_duration(value, "it")
    except ValidationError:
        raise ValueError("is not a duration such as 30s, 24h or 90d") from None


def _absolute(path: Path, info: ValidationInfo) -> Path:
    """A path is as seen from the folder of the file that names it."""
    if not path.name:
        raise ValueError("is not the path of a file")
    folder: Path = (info.context or {}).get("folder", Path.cwd())
    return folder / path


Duration = Annotated[int, BeforeValidator(_duration), Field(gt=0)]
"""Nanoseconds, written `30s`, `24h`, `90d` or as seconds."""

Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]
"""Bytes."""

FilePath = Annotated[Path, AfterValidator(_absolute)]
"""An absolute path."""


def unsupported_values(**when: str) -> BeforeValidator:
    """Refuse values that the design's file may hold and this version cannot serve: value → why."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and value in when:
            raise ValueError(f"{value} {when[value]}")
        return value

    return BeforeValidator(check)
