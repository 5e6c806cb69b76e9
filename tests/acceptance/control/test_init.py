"""A control plane in production, from nothing to the first login, by one command."""

import json
from pathlib import Path

from tests.acceptance.agent import running
from tests.acceptance.command import FREEHOLD, freehold
from tests.acceptance.control.plane import Plane


def settings(folder: Path) -> Path:
    """Those of a control plane with a link, in a file."""
    file = folder / "control.yaml"
    link = {"listen": "127.0.0.1:0", "hosts": ["127.0.0.1"], "authority": str(folder / "ca")}
    text = {
        "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}},
        "link": link,
        "database": {"url": f"sqlite:///{folder}/control.db"},
        "keys": {"folder": str(folder / "keys")},
    }
    file.write_text(json.dumps(text))
    return file


def served(folder: Path, file: Path) -> Plane:
    """A control plane with these settings, not started."""
    return Plane(folder, [FREEHOLD, "control", "serve", "--config", str(file)], token="")


def test_one_command_makes_authority_organization_and_login(folder: Path) -> None:
    """What it lacks it says; the password is asked for and shown nowhere; once only."""
    file = settings(folder)
    plane = served(folder, file)
    words = ("control", "init", "acme", "--title", "Acme Ltd", "--config", str(file))
    password = "a password of the test"
    lacking = freehold(*words, stdin=password)
    assert lacking.returncode == 1
    assert "pass --root FOLDER" in lacking.stderr
    weak = freehold(*words, "--root", f"{folder}/root", stdin="short")
    assert weak.returncode == 1
    assert "a password has 12 to" in weak.stderr
    wrong = freehold("control", "init", "No Id", *words[3:], "--root", f"{folder}/root", stdin="x")
    assert wrong.returncode == 1
    assert sorted(each.name for each in folder.iterdir()) == ["control.yaml"]
    done = freehold(*words, "--root", f"{folder}/root", "-o", "json", stdin=password)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["pin"].startswith("sha256:")
    assert password not in done.stdout + done.stderr
    again = freehold(*words, "--password-file", f"{folder}/first", stdin="")
    assert again.returncode == 1
    assert "already_initialized" in again.stderr
    assert not (folder / "first").exists()
    with running(plane):
        plane.token = plane.login("platform", "admin", password)
        [acme] = [o for o in plane.want(200, "GET", "organizations") if o["id"] == "acme"]
        assert acme["title"] == "Acme Ltd"
        made = plane.want(201, "POST", "organizations/acme/enrolment-tokens", {"vault": "one"})
        assert made["pin"] == json.loads(done.stdout)["pin"]


def test_without_it_nothing_is_served(folder: Path) -> None:
    """A control plane that nobody can sign in to says what to do."""
    file = settings(folder)
    fresh = served(folder, file).refused_start()
    assert "freehold control init ORGANIZATION --config FILE --root FOLDER" in fresh
    made = freehold("control", "ca", "init", "--root", f"{folder}/root", "-d", f"{folder}/ca")
    assert made.returncode == 0, made.stderr
    plane = served(folder, file)
    assert "freehold control init ORGANIZATION --config FILE" in plane.refused_start()


def test_a_missing_authority_is_all_that_is_missing(folder: Path) -> None:
    """Where there are accounts, what to do is not to make the first one again."""
    file, password = settings(folder), folder / "password"
    words = ("--root", f"{folder}/root", "--password-file", str(password))
    done = freehold("control", "init", "acme", "--config", str(file), *words)
    assert done.returncode == 0, done.stderr
    (folder / "ca").rename(folder / "elsewhere")
    said = served(folder, file).refused_start()
    assert "ca_missing" in said
    assert "control init" not in said
    assert f"freehold control ca init --root FOLDER --directory {folder}/ca" in said
    made = freehold("control", "ca", "init", "--root", f"{folder}/new", "-d", f"{folder}/ca")
    assert made.returncode == 0, made.stderr
    with running(served(folder, file)) as plane:
        assert plane.login("platform", "admin", password.read_text().strip())


def test_a_password_may_be_made_into_a_file(folder: Path) -> None:
    """For machines that are set up by programs."""
    file, password = settings(folder), folder / "password"
    words = ("--root", f"{folder}/root", "--password-file", str(password))
    done = freehold("control", "init", "acme", "--config", str(file), *words)
    assert done.returncode == 0, done.stderr
    assert password.stat().st_mode & 0o777 == 0o600
    text = password.read_text().strip()
    assert text not in done.stdout + done.stderr
    with running(served(folder, file)) as plane:
        assert plane.login("platform", "admin", text)
