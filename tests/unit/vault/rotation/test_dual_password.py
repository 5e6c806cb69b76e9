"""MySQL's two passwords of one account: the statements, since no test has a MySQL."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vault.rotation.rotator import RotationContext, RotationError, TargetAccess
from vault.rotation.rotators.mysql import KIND
from vault.rotation.targets import mysql
from vault.rotation.targets.access import failure

VALUE = {"username": "app", "password": "new-password-of-app"}


class FakeMysql:
    """A server of one account, which notes the statements that change it."""

    is_mariadb = False

    def __init__(self) -> None:
        self.passwords = ["old-password-of-app"]
        self.changes: list[str] = []

    @contextmanager
    def administrator(self, _: TargetAccess) -> Iterator["FakeMysql"]:
        """As `mysql.administrator`."""
        yield self

    @contextmanager
    def change(self, _: str) -> Iterator[None]:
        """As of `mysql.Session`."""
        yield

    def exists(self, name: str, host: str) -> bool:
        """As of `mysql.Session`."""
        return (name, host) == ("app", "%")

    def require_fence(self, name: str, host: str, fence: int) -> None:
        """As of `mysql.Session`."""

    def identified(self, password: str) -> str:
        """As of `mysql.Session`."""
        return f"IDENTIFIED BY '{password}'"

    def run(self, text: str) -> None:
        """Keep two passwords, as MySQL does."""
        self.changes.append(text)
        if text.endswith("RETAIN CURRENT PASSWORD"):
            self.passwords = [text.split("'")[5], self.passwords[0]]
        elif text.endswith("DISCARD OLD PASSWORD"):
            del self.passwords[1:]

    def log_in(self, _: TargetAccess, name: str, host: str, password: str, database: str) -> None:
        """As `mysql.log_in`."""
        if password not in self.passwords:
            raise failure("login_refused", f"{name}@{host} in {database!r} is refused")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeMysql:
    """In place of the functions that connect."""
    fake = FakeMysql()
    monkeypatch.setattr(mysql, "administrator", fake.administrator)
    monkeypatch.setattr(mysql, "log_in", fake.log_in)
    return fake


def test_both_passwords_work_until_the_old_one_is_discarded(server: FakeMysql) -> None:
    """Also when each step is repeated: a second RETAIN would discard the one in use."""
    rotator = KIND.make(KIND.parse({"user": "app", "mode": "dual_password"}))
    context = RotationContext("r", 1, 1.0, {}, bytes)
    with pytest.raises(RotationError):
        rotator.verify(context, VALUE)
    for _ in range(2):
        rotator.apply(context, VALUE)
        rotator.verify(context, VALUE)
        assert server.passwords == ["new-password-of-app", "old-password-of-app"]
    for _ in range(2):
        rotator.retire(context, VALUE)
        assert server.passwords == ["new-password-of-app"]
    assert server.changes == [
        "ALTER USER 'app'@'%' IDENTIFIED BY 'new-password-of-app' RETAIN CURRENT PASSWORD",
        "ALTER USER 'app'@'%' DISCARD OLD PASSWORD",
        "ALTER USER 'app'@'%' DISCARD OLD PASSWORD",
    ]
    assert KIND.overlaps(KIND.parse({"user": "app", "mode": "dual_password"}))
    assert not KIND.overlaps(KIND.parse({"user": "app", "mode": "single"}))
