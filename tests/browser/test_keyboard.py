"""The dashboard and the agent's own pages by keyboard alone."""

import re
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.acceptance.control.attack import DOCUMENT, stocked
from tests.acceptance.control.plane import Plane
from tests.acceptance.link.estate import until
from tests.browser import test_agent
from tests.browser.conftest import Visiting
from tests.browser.estate import Estate
from tests.browser.keyboard import dialogs, reached_by_tab
from tests.browser.lone import lone, looking, tell
from tests.browser.test_fleet import PAGES
from tests.browser.visit import PATIENCE

expect.set_options(timeout=PATIENCE)

SOURCES = Path(__file__).parents[2] / "ui/web/src"
ORG = "keys"
GONE = "secret/app/gone"
STOCKED = {
    "/agents/held": "held",
    "/policies": "Policies",
    "/policies/theirs": "theirs",
    "/policies/theirs?tab=versions": "theirs",
    "/policies/idle": "idle",
    "/rollouts": "Rollouts",
    "/enrolment": "Enrolment",
    "/alerts": "Alerts",
    "/alerts?tab=channels": "Alerts",
    "/compliance": "Compliance",
    "/compliance?tab=schedules": "Compliance",
    "/retention": "Retention",
    "/people": "People",
    "/people?who=viewer": "People",
    "/people?who=barred": "People",
    "/people?tab=invitations": "People",
}
"""Of an organization that has one of everything, whatever other tests left in `acme`."""
ELSEWHERE = {
    "Accept log…": "of a log that contradicts its checkpoint: tests/browser/test_fleet.py",
    "Take over…": "of a suspended channel: tests/browser/test_alerts.py",
    "Create organization…": "for the super-admin alone",
    "Replace authenticator…": "on a page that has a second factor; no dialog",
    "Remove second factor…": "with a second factor",
    "Remove provider…": "with a provider",
    "Reset second factor…": "with a second factor",
    "Remove member…": "of somebody from another organization; the dialog is Delete account…'s",
    "Resume…": "of a rollout that is halted; the dialog is Advance…'s",
    "Finish…": "of a rollout at its last step; the dialog is Advance…'s",
    "Advance…": "of a rollout with several steps; the dialog is Halt…'s",
    "Enrol again…": "a link",
    "Enrol agent…": "a link",
    "Set up…": "a link",
}


def said(*folders: str) -> set[str]:
    """What every button of these sources says that asks before it does something."""

    def texts() -> Iterator[str]:
        for folder in folders:
            for path in SOURCES.glob(folder):
                yield from re.findall(r"""[>"\s]([A-Z][a-zA-Z ]*[a-z]…)["\s<]""", path.read_text())

    return set(texts())


def test_tab_reaches_every_control_in_order(visit: Visiting) -> None:
    """On each page, from the skip link to the last one, seen where it is; nothing holds it."""
    with visit(role="owner") as window:
        reached_by_tab(window, PAGES)


def test_every_dialog_holds_the_focus_and_gives_it_back(visit: Visiting, estate: Estate) -> None:
    """Opened by Enter from its button; Tab stays in it, Escape leaves; axe-core finds nothing.

    None that the sources have is left out.
    """
    plane = estate.plane
    plane.organization(ORG, "viewer")
    with stocked(plane, ORG) as found:
        body = {"name": "barred", "role": "viewer", "password": estate.password(ORG)}
        plane.want(201, "POST", f"organizations/{ORG}/users", body)
        plane.want(200, "PATCH", f"organizations/{ORG}/users/barred", {"disabled": True})
        body = {"document": DOCUMENT}
        plane.want(201, "POST", f"organizations/{ORG}/policies/idle/versions", body)
        body = {"targets": [{"tag": "nobody-has-it"}]}  # without any there is no rollout to start
        plane.want(200, "PUT", f"organizations/{ORG}/policies/idle/targets", body)
        until(lambda: is_made(plane, found["report"]), "a report")
        with visit(role="owner") as window:
            done = dialogs(window, PAGES)
        with visit(role="owner", org=ORG) as window:
            done |= dialogs(window, STOCKED)
            silent = [fault for fault in window.faults if "samples" not in fault]
            window.faults[:] = silent  # `held` never told a figure: Chromium writes every 404
    wanted = said("control/**/*.tsx", "components/*.tsx")
    assert wanted - done - set(ELSEWHERE) == set()
    assert set(ELSEWHERE) <= wanted
    assert len(wanted) > 30, wanted


def is_made(plane: Plane, report: str) -> bool:
    """Whether it can be read."""
    return bool(plane.want(200, "GET", f"organizations/{ORG}/reports/{report}")["state"] == "ready")


def test_the_agents_own_pages_need_no_mouse(chromium: Browser) -> None:
    """Both, on each of them; none of the dialogs that the sources have is left out."""
    with lone() as agent:
        user, barred = (
            tell(agent, "POST", "users", {"username": name, "policies": ["app"]})["id"]
            for name in ("keyed", "barred")
        )
        tell(agent, "POST", "keys", {"user": "keyed", "name": "laptop"})
        tell(agent, "PATCH", f"users/{barred}", {"status": "disabled"})
        tell(agent, "POST", "secrets", {"name": GONE, "value": 1})
        tell(agent, "DELETE", f"secrets/{GONE}")
        users = {f"/users/{user}": "keyed", f"/users/{barred}": "barred"}
        more = {f"/secrets/one?name={GONE}": GONE, "/policies/fresh?new=1": "fresh"}
        pages = {**test_agent.PAGES, **users, **more}
        with looking(chromium, agent) as window:
            reached_by_tab(window, pages)
            done = dialogs(window, pages)
            window.faults[:] = [fault for fault in window.faults if "404" not in fault]
    chosen = {"Roll back…"}  # of a version that one chooses first; the dialog is Destroy…'s
    # of one that runs or is stuck: tests/browser/test_agent_rotations.py
    chosen |= {"Undo rotation…", "Give up rotation…"}
    # of leases that there are: tests/browser/test_agent_leases.py
    chosen |= {"Renew…", "Revoke all in folder…", "Leave user behind…"}
    # of an agent with destinations: tests/browser/test_agent_backups.py
    chosen |= {"Back up now…", "Restore secrets…", "Delete backup…"}
    chosen |= {"Remove…"}  # of a second factor: tests/browser/test_second_factors.py
    # of an entity and a group that there are: tests/browser/test_agent_access.py
    chosen |= {"Merge…", "Add member…"}
    assert said("agent/**/*.tsx", "components/*.tsx") - done == chosen
