import io
import sys
from pathlib import Path

import pytest
import typer

from ui.cli.errors import CliError
from ui.cli.input import MAX_INPUT, MAX_LINE, read_secret_line, read_value


def stdin(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    """These bytes come by stdin."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))


class Terminal(io.StringIO):
    """Stdin when somebody sits at it."""

    def isatty(self) -> bool:
        """Somebody does."""
        return True


def test_a_value_comes_by_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    """One closing newline is the shell's, a second one is the value's."""
    stdin(monkeypatch, b" two\n\n")
    assert read_value(None, None, as_json=False) == " two\n"


def test_a_value_comes_from_a_file(tmp_path: Path) -> None:
    """As text, or as JSON."""
    file = tmp_path / "value"
    file.write_text('{"a": 1}\n')
    assert read_value(file, None, as_json=False) == '{"a": 1}'
    assert read_value(file, None, as_json=True) == {"a": 1}


def test_a_value_on_the_command_line_has_to_be_asked_for(tmp_path: Path) -> None:
    """It is taken as it is, and not together with a file."""
    assert read_value(None, "x\n", as_json=False) == "x\n"
    with pytest.raises(typer.BadParameter):
        read_value(tmp_path, "x", as_json=False)


def test_a_value_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest one passes, one byte more is refused, and an endless one is not read."""
    stdin(monkeypatch, b"x" * MAX_INPUT)
    assert len(read_value(None, None, as_json=False)) == MAX_INPUT
    stdin(monkeypatch, b"x" * (MAX_INPUT + 1))
    with pytest.raises(CliError, match="over 1048576 bytes"):
        read_value(None, None, as_json=False)
    with pytest.raises(CliError, match="over 1048576 bytes"):
        read_value(Path("/dev/zero"), None, as_json=False)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b'{\n"s3cret', "stdin is not JSON: look at line 2, column 1"),
        (b"", "stdin is empty: give JSON in --file"),
        (b"[" * 100_000, "stdin is not JSON that can be read"),
    ],
)
def test_what_is_no_json_is_refused_without_being_shown(
    raw: bytes, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what is nested too deeply to be read."""
    stdin(monkeypatch, raw)
    with pytest.raises(CliError, match="stdin is") as caught:
        read_value(None, None, as_json=True)
    assert ("--file FILE" in str(caught.value)) == (not raw)
    assert "[[" not in str(caught.value)


def test_where_a_document_goes_is_said_when_there_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the command takes it; of a file that is none, which and where."""
    stdin(monkeypatch, b"\n")
    with pytest.raises(
        CliError, match="stdin is empty, JSON is expected: FILE or stdin, --version"
    ):
        read_value(None, None, as_json=True, option="FILE", otherwise="--version N")
    file = tmp_path / "p.hcl"
    file.write_text('{"a": 1,\npath "secret/hunter2" {}')
    with pytest.raises(CliError) as caught:
        read_value(file, None, as_json=True)
    assert str(caught.value) == f"{file} is not JSON (line 2): no other format is read here"


def test_bytes_that_are_no_text_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do instead."""
    stdin(monkeypatch, b"\xff")
    with pytest.raises(CliError, match="base64"):
        read_value(None, None, as_json=False)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(CliError, match=r"cannot read .*nosuch: No such file"):
        read_value(tmp_path / "nosuch", None, as_json=False)


def test_a_line_is_the_first_one_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token of a file with more in it; an endless line is cut."""
    stdin(monkeypatch, b" token \nmore\n")
    assert read_secret_line("Token") == "token"
    stdin(monkeypatch, b"x" * (MAX_LINE * 2))
    assert len(read_secret_line("Token")) == MAX_LINE


def test_no_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty file never counts as a token."""
    stdin(monkeypatch, b"\n")
    with pytest.raises(CliError, match="token: nothing came from stdin"):
        read_secret_line("Token")


def test_at_a_terminal_it_is_asked_for_without_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and tokens alike, on stderr."""
    asked: list[tuple[str, dict[str, object]]] = []

    def prompt(text: str, **how: object) -> str:
        asked.append((text, how))
        return "typed"

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(typer, "prompt", prompt)
    assert read_secret_line("Token") == read_value(None, None, as_json=False) == "typed"
    hidden = {"hide_input": True, "err": True}
    assert asked == [("Token", hidden), ("Value", hidden)]
