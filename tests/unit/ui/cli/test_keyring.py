"""The token in the system's keyring: kept there, read from there, and gone with `logout`."""

from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run
from ui.cli import keyring_store
from ui.cli.keyring_store import KeyringStore, is_trusted

WHOAMI = {"name": "ann", "method": "userpass", "mount": "userpass/", "policies": ["app"]}
POLICIES = {"root": False, "policies": [{"name": "app"}], "unknown": []}


class Ring:
    """A keyring in memory. `is_locked`: nobody unlocks it."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        """As a backend of `keyring`."""
        self._require()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """As a backend of `keyring`."""
        self._require()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        """As a backend of `keyring`."""
        self._require()
        del self.kept[service, username]

    def _require(self) -> None:
        if self.is_locked:
            raise RuntimeError("the secret of the test is locked")


@pytest.fixture
def ring(home: Path, monkeypatch: pytest.MonkeyPatch) -> Ring:
    """The keyring of this system."""
    made = Ring()
    monkeypatch.setattr(keyring_store, "find_keyring", lambda: KeyringStore(made))
    monkeypatch.delenv("FREEHOLD_TOKEN", raising=False)
    return made


def log_in(agent: FakeAgent, cli: Run, *more: str) -> str:
    """Log in with a token; what it says."""
    agent.answer(POLICIES)
    done = cli("login", *more, stdin="kept-text\n")
    assert done.code == 0, done.err
    return done.err


def test_login_keeps_its_token_in_the_keyring(
    agent: FakeAgent, cli: Run, ring: Ring, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file says so and has no token; later commands use it, at this address only."""
    monkeypatch.delenv("FREEHOLD_TOKEN", raising=False)
    assert "stored in the system's keyring" in log_in(agent, cli)
    assert ring.kept == {("freehold", agent.address): "kept-text"}
    assert "kept-text" not in (home / ".freehold-token").read_text()
    agent.answer(WHOAMI)
    told = cli("auth", "whoami", "-o", "json").json
    assert agent.seen[-1].headers["authorization"] == "Bearer kept-text"
    assert told["kept"] == "the system's keyring"
    other = agent.address.replace("127.0.0.1", "localhost")
    agent.answer({}, 401)
    cli("--address", other, "auth", "whoami")
    assert "authorization" not in agent.seen[-1].headers


def test_a_file_keeps_it_where_one_says_so(
    agent: FakeAgent, cli: Run, ring: Ring, home: Path
) -> None:
    """And without a keyring (`test_login`)."""
    assert str(home / ".freehold-token") in log_in(agent, cli, "--no-keyring")
    assert ring.kept == {}
    assert (home / ".freehold-token").read_text() == "kept-text"


@pytest.mark.parametrize("more", [(), ("--no-keyring",)])
def test_logout_revokes_what_a_login_made(
    agent: FakeAgent,
    cli: Run,
    ring: Ring,
    home: Path,
    more: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In both places, and it is gone afterwards."""
    monkeypatch.delenv("FREEHOLD_TOKEN", raising=False)
    log_in(agent, cli, *more)
    agent.answer(WHOAMI)
    agent.answer(None, 204)
    assert cli("logout").code == 0
    assert agent.asked[-1][:2] == ("DELETE", "/api/v1/tokens/self")
    assert agent.seen[-1].headers["authorization"] == "Bearer kept-text"
    assert ring.kept == {}
    assert not (home / ".freehold-token").exists() or not more


def test_logout_leaves_what_one_had_before(agent: FakeAgent, cli: Run, ring: Ring) -> None:
    """A root token or an API key is not ended by the end of a day, unless one says so."""
    log_in(agent, cli)
    agent.answer({**WHOAMI, "mount": "token/"})
    done = cli("logout")
    assert done.code == 0
    assert "it stays valid" in done.err
    assert agent.asked[-1][0] == "GET"
    assert ring.kept == {}
    log_in(agent, cli)
    agent.answer(None, 204)
    assert cli("logout", "--revoke").code == 0
    assert agent.asked[-1][0] == "DELETE"
    assert "no token was stored" in cli("logout").err


def test_logout_without_the_agent_removes_and_says_so(
    agent: FakeAgent, cli: Run, ring: Ring
) -> None:
    """What is not revoked is told; a token that is over already is no fault."""
    log_in(agent, cli)
    agent.answer({"message": "sealed", "code": "sealed"}, 503)
    done = cli("logout")
    assert done.code != 0
    assert "removed here, but not revoked" in done.err
    assert ring.kept == {}
    log_in(agent, cli)
    agent.answer({"message": "permission denied", "code": "unauthenticated"}, 401)
    assert cli("logout").code == 0


def test_a_locked_keyring_is_an_error(agent: FakeAgent, cli: Run, ring: Ring) -> None:
    """With what to do, and not with what it said."""
    ring.is_locked = True
    agent.answer(POLICIES)
    done = cli("login", stdin="kept-text\n")
    assert done.code == 4
    assert "unlock it, or use `freehold login --no-keyring`" in done.err
    assert "secret of the test" not in done.err
    assert "kept-text" not in done.err


def test_a_keyring_that_cannot_be_reached_is_an_error(
    agent: FakeAgent, cli: Run, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By ssh, say: the token is where it is."""
    monkeypatch.delenv("FREEHOLD_TOKEN", raising=False)
    log_in(agent, cli)
    monkeypatch.setattr(keyring_store, "find_keyring", lambda: None)
    done = cli("auth", "whoami")
    assert done.code == 4
    assert "which cannot be reached here" in done.err


def test_only_keyrings_of_systems_count() -> None:
    """A backend that writes a file, or one that somebody made, is none."""
    from keyring.backends.fail import Keyring as Fail
    from keyring.backends.null import Keyring as Null

    plain = ModuleType("keyrings.alt.file")
    kinds = [type("PlaintextKeyring", (), {"__module__": plain.__name__}), Fail, Null, Ring]
    assert [is_trusted(kind()) for kind in kinds] == [False] * len(kinds)
    secret_service = type("Keyring", (), {"__module__": "keyring.backends.SecretService"})
    assert is_trusted(secret_service())
