import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ui.cli.connection_settings import (
    AGENT,
    CONTROL_PLANE,
    DEFAULT_ADDRESS,
    ConnectionSettings,
    delete_token,
    save_token,
    token_path,
    token_variable,
)
from ui.cli.errors import CliError, Exit


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Masks that allow too much, the usual, and nothing."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def test_our_own_variables_win_over_those_of_vault(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And an address that was given wins over both; without any it is TLS on this machine."""
    assert ConnectionSettings.from_environment().address == DEFAULT_ADDRESS
    monkeypatch.setenv("VAULT_ADDR", "https://vault/")
    monkeypatch.setenv("VAULT_TOKEN", "theirs")
    assert ConnectionSettings.from_environment().address == "https://vault"
    monkeypatch.setenv("FREEHOLD_ADDR", "https://ours")
    found = ConnectionSettings.from_environment()
    assert (found.address, found.token) == ("https://ours", "theirs")
    assert ConnectionSettings.from_environment("https://given").address == "https://given"


def test_a_kept_token_is_its_owners_only(home: Path, umask: None) -> None:
    """Whatever the umask is, and whatever was there before."""
    token_path().write_text("old")
    token_path().chmod(0o666)
    save_token("kept")
    assert token_path().stat().st_mode & 0o777 == 0o600
    assert ConnectionSettings.from_environment().token == "kept"
    assert ConnectionSettings.from_environment(use_stored=False).token == ""


def test_a_kept_token_is_not_written_through_a_link(home: Path) -> None:
    """Somebody's link at its place is replaced, not followed."""
    target = home / "elsewhere"
    target.write_text("theirs")
    token_path().symlink_to(target)
    save_token("kept")
    assert target.read_text() == "theirs"
    assert not token_path().is_symlink()


def test_a_token_that_others_can_read_is_refused(home: Path) -> None:
    """The message says what to do."""
    save_token("kept")
    token_path().chmod(0o640)
    with pytest.raises(CliError, match="chmod 600") as refused:
        ConnectionSettings.from_environment()
    assert refused.value.exit_code is Exit.DENIED


def test_a_token_file_that_is_none_is_told(home: Path) -> None:
    """A folder, or bytes that are no text."""
    token_path().write_bytes(b"\xff\xfe")
    token_path().chmod(0o600)
    with pytest.raises(CliError, match="freehold login"):
        ConnectionSettings.from_environment()


def test_a_token_that_cannot_be_kept_is_told(home: Path) -> None:
    """As one line with the path."""
    token_path().mkdir()
    with pytest.raises(CliError, match="cannot keep"):
        save_token("kept")
    with pytest.raises(CliError, match="cannot remove"):
        delete_token()


def test_forgetting_is_done_when_nothing_is_kept(home: Path) -> None:
    """Twice is once."""
    save_token("kept")
    delete_token()
    delete_token()
    assert ConnectionSettings.from_environment().token == ""


def test_settings_do_not_print_the_token() -> None:
    """Not even by accident."""
    assert "secret" not in repr(ConnectionSettings("https://x", "secret", "", "", ""))


def test_the_variable_of_a_token_is_the_one_that_wins(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours before those of other clients; the control plane has but one; an empty one is none."""
    for name in ("FREEHOLD_TOKEN", "VAULT_TOKEN", "FREEHOLD_CONTROL_TOKEN"):
        monkeypatch.setenv(name, "")
    assert (token_variable(AGENT), token_variable(CONTROL_PLANE)) == ("", "")
    monkeypatch.setenv("VAULT_TOKEN", "t")
    assert (token_variable(AGENT), token_variable(CONTROL_PLANE)) == ("VAULT_TOKEN", "")
    monkeypatch.setenv("FREEHOLD_TOKEN", "t")
    monkeypatch.setenv("FREEHOLD_CONTROL_TOKEN", "t")
    assert ConnectionSettings.from_environment().variable == "FREEHOLD_TOKEN"
    assert ConnectionSettings.for_control_plane().variable == "FREEHOLD_CONTROL_TOKEN"
