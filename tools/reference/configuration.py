"""docs/reference/configuration.md: every key of both configuration files."""

import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from control.config.settings import Settings as ControlSettings
from tools.reference.markdown import code, matched, meanings, page, table
from vault.config.settings import Settings as AgentSettings

TITLE: Final = "Configuration"
INTRO: Final = """
Both programs read one YAML file: `freehold agent serve --config vault.yaml` and
`freehold control serve --config control.yaml`. [`deploy/vault.yaml`](../../deploy/vault.yaml) and
[`deploy/control.yaml`](../../deploy/control.yaml) are complete examples.

- An environment variable wins over the file: `FREEHOLD_AGENT_SERVER__PORT=9000` sets `server.port` of an agent,
  `FREEHOLD_CONTROL_SERVER__LISTEN=…` that of a control plane. `__` separates the levels.
- An unknown key or a misspelt variable is an error. What this version does not have is refused with a reason.
- Durations are written `30s`, `24h` or `90d`; sizes `100MB` (10⁶) or `64MiB` (2²⁰). Paths may be relative to the file.
- TLS files are read again at SIGHUP. Everything else needs a restart.
"""
SECOND: Final = 1_000_000_000
UNITS: Final = ((86_400 * SECOND, "d"), (3600 * SECOND, "h"), (60 * SECOND, "m"), (SECOND, "s"))
SIZES: Final = ((2**30, "GiB"), (2**20, "MiB"), (10**6, "MB"))


def render() -> str:
    """The page."""
    told = meanings("configuration")
    parts = []
    for name, settings, heading in (
        ("agent", AgentSettings, "Agent: `vault.yaml`"),
        ("control", ControlSettings, "Control plane: `control.yaml`"),
    ):
        fields = list(_fields(settings))
        matched((key for key, _ in fields), told[name], "configuration.toml")
        parts.append(f"## {heading}")
        for section in dict.fromkeys(key.partition(".")[0] for key, _ in fields):
            rows = [
                (code(key), _type(field), _default(key, field, told["default"]), told[name][key])
                for key, field in fields
                if key.partition(".")[0] == section
            ]
            parts += [f"### `{section}`" + _of(name), table(("key", "value", "default", ""), rows)]
    return page(TITLE, INTRO, parts)


def _of(name: str) -> str:
    """What tells headings of the two files apart."""
    return "" if name == "agent" else " (control plane)"


def _fields(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Keys in the order of the model; of an optional section the section itself as well."""
    for name, field in model.model_fields.items():
        key = f"{before}{name}"
        section = _section(field.annotation)
        if section is None:
            yield key, field
        else:
            if section is not field.annotation:
                yield key, field
            yield from _fields(section, f"{key}.")


def _section(annotation: Any) -> type[BaseModel] | None:
    for part in (annotation, *_alternatives(annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    is_union = isinstance(annotation, UnionType) or typing.get_origin(annotation) is typing.Union
    return typing.get_args(annotation) if is_union else ()


def _kind(field: FieldInfo) -> str:
    """`duration`, `size` or nothing, by how a text is read."""
    written = f"{field.metadata!r} {field.annotation!r}"
    return "duration" if "duration" in written else "size" if "size" in written else ""


def _type(field: FieldInfo) -> str:
    if _section(field.annotation) is not None:
        return "section"
    inner = next(
        (a for a in _alternatives(field.annotation) if a is not NoneType), field.annotation
    )
    while typing.get_origin(inner) is typing.Annotated:
        inner = typing.get_args(inner)[0]
    if typing.get_origin(inner) is tuple:
        item = typing.get_args(inner)[0]
        while typing.get_origin(item) is typing.Annotated:
            item = typing.get_args(item)[0]
        words = _words(item)
        return f"list of {words}" if words else "list"
    if words := _words(inner):
        return words
    names: dict[Any, str] = {bool: "`true`, `false`", int: "number", float: "number", str: "text"}
    return _kind(field) or names.get(inner) or ("path" if inner is Path else "text")


def _words(annotation: Any) -> str:
    """The values of an enumeration."""
    if typing.get_origin(annotation) is Literal:
        return ", ".join(code(str(word)) for word in typing.get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(code(str(member.value)) for member in annotation)
    return ""


def _default(key: str, field: FieldInfo, told: dict[str, str]) -> str:
    if key in told:
        return told[key]
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value == "":
        return "none"
    return code(_written(value, _kind(field)))


def _written(value: Any, kind: str) -> str:
    """A value as one writes it in the file."""
    match value:
        case bool():
            return str(value).lower()
        case tuple():
            return f"[{', '.join(_written(item, kind) for item in value)}]"
        case Enum():
            return str(value.value)
        case SecretStr():
            return value.get_secret_value()
        case int() if kind == "duration":
            return _in(value, UNITS) or f"{value // 1_000_000}ms"
        case int() if kind == "size":
            return _in(value, SIZES) or str(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _in(value: int, units: tuple[tuple[int, str], ...]) -> str:
    return next((f"{value // size}{name}" for size, name in units if value % size == 0), "")
