"""What was acknowledged is there after a kill, and the first password is shown once."""

from pathlib import Path

from tests.acceptance.agent import running
from tests.acceptance.control.attack import DOCUMENT
from tests.acceptance.control.plane import Plane, dev_plane


def test_policies_and_people_survive_a_kill(folder: Path) -> None:
    """Versions, targets, roll-outs, sessions, the audit chain."""
    plane: Plane = dev_plane(folder)
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        base = "organizations/acme/policies/p"
        plane.want(201, "POST", f"{base}/versions", {"document": DOCUMENT})
        plane.want(200, "PUT", f"{base}/targets", {"targets": [{"tag": "prod"}]})
        rollout = plane.want(201, "POST", f"{base}/rollouts", {"version": 1})
        plane.kill()
        plane.start()
        assert plane.output().count("first account") == 1
        policy = plane.want(200, "GET", base)
        assert (policy["head"], policy["targets"]) == (1, [{"tag": "prod"}])
        found = plane.want(200, "GET", f"organizations/acme/rollouts/{rollout['id']}")
        assert found["state"] in {"running", "done"}
        assert plane.want(200, "GET", "organizations/acme/audit/verify")["broken_at"] == 0
        plane.want(200, "GET", "whoami", token=plane.people["acme", "owner"])


def test_it_says_that_it_serves_and_where(folder: Path) -> None:
    """On stderr, once it does, with both ports: the log of a service begins with it."""
    plane = dev_plane(folder)
    with running(plane):
        said = f"freehold: listening on port {plane.port}, agents on port {plane.link_port}\n"
        assert plane.output().count(said) == 1


def test_a_locked_account_stays_locked_after_a_restart(folder: Path) -> None:
    """Five wrong passwords, a kill, and the right one does not help either; sessions go on."""
    plane = dev_plane(folder)
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        right = {"organization": "acme", "name": "owner", "password": "correct horse battery"}
        wrong = {**right, "password": "guess"}
        answers = [plane.ask("POST", "sessions", wrong, token="") for _ in range(5)]
        unknown = plane.ask("POST", "sessions", {**wrong, "name": "nobody"}, token="")
        plane.kill()
        plane.start()
        answers.append(plane.ask("POST", "sessions", right, token=""))
        assert {a.status for a in [*answers, unknown]} == {401}
        assert len({(a.json["code"], a.json["message"]) for a in [*answers, unknown]}) == 1
        plane.want(200, "GET", "whoami", token=plane.people["acme", "owner"])
