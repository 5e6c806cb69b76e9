from pathlib import Path

from ui.cli.errors import CliError, Exit


def test_an_error_ends_the_command_with_its_code() -> None:
    """Without a better one it is 1, as everywhere."""
    assert CliError("no").exit_code is Exit.ERROR
    assert CliError("no", Exit.DENIED).exit_code == 4


def test_exit_codes_are_a_contract() -> None:
    """Scripts rely on these numbers: docs/reference/cli.md has them."""
    assert {code.name: int(code) for code in Exit} == {
        "OK": 0, "ERROR": 1, "SEALED": 2, "NOT_FOUND": 3, "DENIED": 4, "CONFLICT": 5,
        "UNREACHABLE": 6, "BUSY": 7, "USAGE": 64, "CANNOT_RUN": 126, "NO_PROGRAM": 127,
        "INTERRUPTED": 130,
    }  # fmt: skip


def test_the_documented_codes_are_these(root: Path) -> None:
    """The table of docs/reference/cli.md names each code that is here, and no other."""
    text = (root / "docs/reference/cli.md").read_text()
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert {int(cell) for cell in rows if cell.isdigit()} == {int(code) for code in Exit}
