"""`freehold template`: files made of secrets by Jinja2 templates, replaced whole."""

import shlex
import signal
import stat
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ui.cli.context import api_path, cli_context
from ui.cli.errors import CliError, CredentialError, Exit, FaultsError
from ui.cli.output import print_note

if TYPE_CHECKING:
    from ui.cli.client import ApiClient

MAX_OUTPUT: Final = 8 << 20  # characters of a file
MAX_SECONDS: Final = 10.0  # of one template, reading its secrets included
MAX_REPEATED: Final = 1 << 20  # what `*` may make of a text or a list, and `**` of numbers: bits
COMMAND_SECONDS: Final = 60.0  # that the command after a change may take
_PERMISSIONS: Final = 0o777
_KEYS: Final = frozenset({"source", "out", "mode", "owner", "exec"})


@dataclass(frozen=True)
class Template:
    """One file to make. `owner` is USER, USER:GROUP or :GROUP; empty: whoever runs this."""

    source: Path
    out: Path
    mode: int = 0o600
    owner: str = ""
    command: str = ""

    def ids(self) -> tuple[int, int]:
        """User and group id of the owner, -1 for unchanged. Raises `CliError`."""
        if not self.owner:
            return -1, -1
        import grp  # not on Windows
        import pwd

        user, _, group = self.owner.partition(":")
        try:
            return (
                pwd.getpwnam(user).pw_uid if user else -1,
                grp.getgrnam(group).gr_gid if group else -1,
            )
        except KeyError:
            raise CliError(f"there is no user or group {self.owner}", Exit.USAGE) from None


def template(
    context: typer.Context,
    source: Annotated[
        Path | None, typer.Argument(metavar="FILE.j2", help="A Jinja2 template.", dir_okay=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file to make.", dir_okay=False)] = None,
    mode: Annotated[str, typer.Option(help="Its permissions, in octal.")] = "0600",
    owner: Annotated[str, typer.Option(help="Its owner: USER, USER:GROUP or :GROUP.")] = "",
    exec_: Annotated[
        str, typer.Option("--exec", help="A command to run once the file has changed; no shell.")
    ] = "",
    config: Annotated[
        Path | None,
        typer.Option(
            help="A TOML file of several: [[template]] with source, out, mode, owner, exec.",
            dir_okay=False,
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on, and make the files anew on changes.")
    ] = False,
) -> None:
    """Make files of secrets: {{ secret('secret/app/db').password }} in a Jinja2 template.

    A file is replaced whole, with its mode and owner, or stays as it is if anything fails. What is
    not defined is an error. A template is sandboxed, has no includes, and makes at most 8 MiB in
    10 s.
    """
    given = source is not None and out is not None
    if given is (config is not None) or (source is None) is not (out is None):
        raise CliError("give either FILE.j2 with --out, or --config", Exit.USAGE)
    if source is not None and out is not None:
        wanted = [Template(source, out, _mode(mode), owner, exec_)]
    else:
        wanted = _read_config(config)
    current = cli_context(context)
    renderer = Renderer(wanted)
    from ui.cli.follow import Follower, acknowledge, read_changes

    cursor = read_changes(current.client)["cursor"] if watch else ""
    renderer.render_all(current.client)
    if not watch:
        return
    acknowledge(current.client, renderer.take_new_versions())

    def update(client: "ApiClient") -> None:
        renderer.update(client)
        acknowledge(client, renderer.take_new_versions())

    stopped = SimpleQueue[None]()
    follower = Follower(lambda: current.client_of(current.address), lambda: renderer.names, update)
    with _until_signal(stopped):
        follower.start(cursor)
        stopped.get()
        follower.stop()


class Renderer:
    """Makes the files. `names`: the secrets that they were made of."""

    def __init__(self, templates: list[Template]) -> None:
        self._templates = templates
        self._versions: dict[str, int] = {}
        self._acknowledged: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        """In the order of their names."""
        return sorted(self._versions)

    def render_all(self, client: "ApiClient") -> None:
        """Make all files, each that can be made. Raises `CliError` with a line for each failure."""
        faults: list[CliError] = []
        for one in self._templates:
            try:
                self._render(one, client)
            except CliError as error:
                faults.append(error)
        if len(faults) == 1:
            raise faults[0]
        if faults:
            raise FaultsError([str(fault) for fault in faults], faults[0].exit_code)

    def update(self, client: "ApiClient") -> None:
        """Make them anew. What cannot be made stays, and is told; raises what passes by itself."""
        for one in self._templates:
            try:
                self._render(one, client)
            except CliError as error:
                passes = error.exit_code in {Exit.UNREACHABLE, Exit.BUSY, Exit.SEALED}
                if passes or isinstance(error, CredentialError):
                    raise
                print_note(f"freehold: {one.out} stays as it is: {error}")

    def take_new_versions(self) -> dict[str, int]:
        """The versions that are in use and were not returned before."""
        new = {
            name: number
            for name, number in self._versions.items()
            if self._acknowledged.get(name) != number
        }
        self._acknowledged |= new
        return new

    def _render(self, one: Template, client: "ApiClient") -> None:
        read = _SecretReader(client)
        content = render(one.source, read.secret)
        changed = _put(one, content.encode())
        self._versions |= read.versions
        if changed and one.command:
            _run(one)


@dataclass
class _SecretReader:
    """Reads each secret once for a template."""

    client: "ApiClient"
    versions: dict[str, int] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def secret(self, name: str) -> Any:
        """The value of a secret. Raises `CliError`."""
        if name not in self.values:
            answer = self.client.call("GET", api_path("secrets", name))
            self.values[name], self.versions[name] = answer["value"], answer["version"]
        return self.values[name]


def render(source: Path, secret: Callable[[str], Any]) -> str:
    """What a template makes. Raises `CliError`, which holds no value."""
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    from actors.world import SystemWorld  # not for those who only start the command line

    class Environment(ImmutableSandboxedEnvironment):
        """Bounds what an operator may make of little."""

        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            """Raises `SecurityError` for what would be too large."""
            if _product(operator, left, right) > MAX_REPEATED:
                raise jinja2.exceptions.SecurityError(f"what {operator} makes is too large")
            return super().call_binop(context, operator, left, right)

    environment = Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
    )  # its output is no HTML
    parts: list[str] = []
    size, uptime = 0, SystemWorld().uptime
    until = uptime() + MAX_SECONDS
    try:
        text = source.read_text(encoding="utf-8")
        code = environment.compile(text, filename=str(source))
        compiled = jinja2.Template.from_code(environment, code, environment.make_globals(None))
        with _time_limit(source):
            for part in compiled.generate(secret=secret):
                parts.append(part)
                size += len(part)
                _check_bounds(source, size, is_late=uptime() > until)
    except jinja2.TemplateSyntaxError as error:
        raise CliError(f"{source}, line {error.lineno}: {error.message}", Exit.USAGE) from None
    except (jinja2.UndefinedError, jinja2.exceptions.SecurityError) as error:
        raise CliError(f"{source}, line {_line(source, error)}: {error.message}") from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CliError(f"cannot read {source}: {why}", Exit.USAGE) from None
    except CliError:
        raise
    except Exception as error:  # noqa: BLE001  # told without its text: that could hold a value
        raise CliError(f"{source}, line {_line(source, error)}: {type(error).__name__}") from None
    return "".join(parts)


def _check_bounds(source: Path, size: int, *, is_late: bool) -> None:
    if size > MAX_OUTPUT:
        raise CliError(f"{source} makes more than {MAX_OUTPUT >> 20} MiB")
    if is_late:
        raise _too_slow(source)


def _too_slow(source: Path) -> CliError:
    return CliError(f"{source} takes more than {MAX_SECONDS:g} s")


def _product(operator: str, left: Any, right: Any) -> int:
    """How large the result is at most: items of a sequence, bits of a number."""
    if operator == "**":
        numbers = isinstance(left, int) and isinstance(right, int)
        return left.bit_length() * abs(right) if numbers else 0
    for sequence, count in ((left, right), (right, left)):
        if isinstance(sequence, str | bytes | list | tuple) and isinstance(count, int):
            return len(sequence) * max(count, 0)
    if isinstance(left, int) and isinstance(right, int):
        return left.bit_length() + right.bit_length()
    return 0


def _line(source: Path, error: BaseException) -> int:
    """The line of the template in which it happened; 0: unknown."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(source)]
    return (lines[-1] or 0) if lines else 0


@contextmanager
def _time_limit(source: Path) -> Iterator[None]:
    """Raise `CliError` after `MAX_SECONDS` in the main thread: no other one gets signals."""
    if not hasattr(signal, "SIGALRM"):
        raise CliError("templates cannot be stopped on this system: use `freehold run`")
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise _too_slow(source)

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _put(one: Template, content: bytes) -> bool:
    """Replace the file unless it is that already; whether it was changed. Raises `CliError`."""
    from ui.cli.program import replace_file

    user, group = one.ids()
    try:
        if _is_same(one, content, user, group):
            return False
        replace_file(one.out, content, mode=one.mode, owner=(user, group))
    except OSError as error:
        raise CliError(f"cannot write {one.out}: {error.strerror}") from None
    return True


def _is_same(one: Template, content: bytes, user: int, group: int) -> bool:
    try:
        found = one.out.lstat()
    except FileNotFoundError:
        return False
    return (
        stat.S_ISREG(found.st_mode)
        and stat.S_IMODE(found.st_mode) == one.mode
        and user in {-1, found.st_uid}
        and group in {-1, found.st_gid}
        and found.st_size == len(content)
        and one.out.read_bytes() == content
    )


def _run(one: Template) -> None:
    """The command after a change, without our tokens. Raises `CliError`."""
    import subprocess

    from ui.cli.run import environment_without_tokens

    words = shlex.split(one.command)
    try:
        done = subprocess.run(  # noqa: S603  # what the person asked for
            words,
            env=environment_without_tokens(),
            stdin=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CliError(f"{words[0]} took more than {COMMAND_SECONDS:g} s and was ended") from None
    except OSError as error:
        raise CliError(f"cannot run {words[0]}: {error.strerror}", Exit.CANNOT_RUN) from None
    if done.returncode:
        raise CliError(f"{one.out} is written, but {words[0]} ended with {done.returncode}")


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if mode < 0 or mode & ~_PERMISSIONS:
        raise CliError("a mode is octal and looks like 0640", Exit.USAGE)
    return mode


def _read_config(file: Path | None) -> list[Template]:
    """The templates of a TOML file. Raises `CliError`."""
    import tomllib

    if file is None:
        raise RuntimeError("neither a template nor a configuration is given")
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise CliError(f"cannot read {file}: {why}", Exit.USAGE) from None
    items = told.get("template")
    if set(told) != {"template"} or not isinstance(items, list) or not items:
        raise CliError(f"{file} has to have [[template]] sections and nothing else", Exit.USAGE)
    return [_configured(file, number, item) for number, item in enumerate(items, 1)]


def _configured(file: Path, number: int, item: Any) -> Template:
    if not isinstance(item, dict) or not {"source", "out"} <= set(item) <= _KEYS:
        keys = ", ".join(sorted(_KEYS))
        raise CliError(
            f"{file}, template {number}: it needs source and out, and may have no other keys than "
            f"{keys}",
            Exit.USAGE,
        )
    if not all(isinstance(value, str) for value in item.values()):
        raise CliError(f"{file}, template {number}: each value has to be a text", Exit.USAGE)
    return Template(
        file.parent / item["source"],
        file.parent / item["out"],
        _mode(item.get("mode", "0600")),
        item.get("owner", ""),
        item.get("exec", ""),
    )


@contextmanager
def _until_signal(stopped: "SimpleQueue[None]") -> Iterator[None]:
    """SIGTERM and SIGINT put an item there within the block.

    A signal may come at any place of who waits: an event's `set` would wait for its own `wait`.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        stopped.put(None)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
