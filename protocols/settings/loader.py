"""From a file and the environment to settings, or to one error that names all that is wrong.

With a prefix of `FREEHOLD_AGENT_`, the variable `FREEHOLD_AGENT_SERVER__TLS__CERT_FILE=…` sets
`server.tls.cert_file` over the file. A variable with the prefix that names no key is an error like
an unknown key in the file: a misspelt setting that is silently ignored is how a server ends up
listening where it should not. Those that are for commands (`CLIENT_VARIABLES`) are left out.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from protocols.settings.client_environment import CLIENT_VARIABLES

MAX_BYTES: Final = 1 << 20  # a settings file is a few KiB; the rest is somebody's mistake

_TELL: Final = {
    "extra_forbidden": "is not a key of this file; is it misspelt?",
    "missing": "is missing",
}

S = TypeVar("S", bound=BaseModel)


class ConfigError(Exception):
    """The settings cannot be used. Says in which file, at which keys, and what to do; no values.

    `faults`: a line each.
    """

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def load_model(model: type[S], file: Path, prefix: str, environment: Mapping[str, str]) -> S:
    """The settings in `file`, those of `environment` that begin with `prefix` over them.

    Paths are as seen from the file's folder. Raises `ConfigError`.
    """
    data = _read(file)
    origin = _overlay(data, prefix, environment)
    try:
        return model.model_validate(data, context={"folder": file.absolute().parent})
    except ValidationError as error:
        raise ConfigError(*_explain(str(file), error, origin)) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{file}: is over {MAX_BYTES} bytes; is it the right file?")
    try:
        data = yaml.load(content, _Loader)  # noqa: S506  # a SafeLoader that is stricter
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: {_where(error)}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: is not a YAML mapping of sections such as server:")
    return data


class _Loader(yaml.SafeLoader):
    """YAML without repeated keys, of which the last would silently win."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key that is not text", key.start_mark
                )
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{name} is there twice", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def _where(error: yaml.YAMLError) -> str:
    """Line and problem, without the text around it."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "not UTF-8 text"
    return f"line {mark.line + 1}: {problem}" if mark is not None else f"is not YAML: {problem}"


def _overlay(
    data: dict[str, Any], prefix: str, environment: Mapping[str, str]
) -> dict[tuple[str, ...], str]:
    """Put the environment's settings into `data`; returns key → variable, for errors."""
    origin = {}
    for variable in sorted(environment):
        if not variable.startswith(prefix) or variable in CLIENT_VARIABLES:
            continue
        *sections, key = path = variable.removeprefix(prefix).lower().split("__")
        at: Any = data
        for section in sections:
            if not isinstance(at.get(section), dict):
                at[section] = {}
            at = at[section]
        at[key] = _value(variable, environment[variable])
        origin[tuple(path)] = variable
    return origin


def _value(variable: str, text: str) -> Any:
    """As the same text would read in the file."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader that is stricter
    except yaml.YAMLError as error:
        raise ConfigError(f"{variable}: {_where(error)}") from None


def _explain(file: str, error: ValidationError, origin: Mapping[tuple[str, ...], str]) -> list[str]:
    """A line for each fault: where it was said, the key, what is wrong; no values."""
    lines = []
    for path, message in _faults(error):
        key = ".".join(path)
        source = origin.get(path, file)
        lines.append(f"{source}: {key}: {message}" if key else f"{source}: {message}")
    return lines


def explain_option_errors(
    error: ValidationError, options: Mapping[str, str], whole: str
) -> ConfigError:
    """What is wrong with settings that were given as options: key → option, told once for each.

    `whole`: the option at fault where no key is, or one of none of them.
    """
    lines = []
    for path, message in _faults(error):
        option = options.get(path[-1]) if path else whole
        lines.append(f"{option}: {message}" if option else f"{whole}: {'.'.join(path)}: {message}")
    return ConfigError(*dict.fromkeys(lines))


def _faults(error: ValidationError) -> Iterator[tuple[tuple[str, ...], str]]:
    """Key and what is wrong there."""
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        path = tuple(str(part) for part in fault["loc"])
        yield path, _TELL.get(fault["type"], fault["msg"].removeprefix("Value error, "))
