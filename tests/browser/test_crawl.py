"""Every control of every page works: no refused request, nothing on the console, no dead button.

On an estate of its own, for what deletes is used as well.
"""

from collections.abc import Iterable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.acceptance.agent import own_folder, running
from tests.acceptance.control.attack import DOCUMENT, stocked
from tests.acceptance.control.plane import PASSWORD, Plane, dev_plane
from tests.acceptance.link.estate import until
from tests.browser import test_agent, test_fleet
from tests.browser.crawl import Crawl
from tests.browser.estate import Estate
from tests.browser.lone import lone, looking, tell
from tests.browser.visit import Visit, visiting

ORG = "all"
FEW = 8  # controls that go with what was done before
MANY = 20  # dialogs that the dashboard has at least
FILLS = {
    "Create account: Initial password": PASSWORD,
    "Set password of .*: New password": "another " + PASSWORD,
    "Create secret: Name": "secret/crawled",
    "Create secret: Value": '{"a": 1}',
    "Write new version of .*: Value": '{"a": 1}',
    "Create entity: Name": "crawled",
    "Create group: Name": "crawled",
    "Rotate secrets by tag or folder: Folder": "secret/ci/",
    "Path": "secret/app/db",
}
"""Pattern of a field's label, after the title of its dialog if it is in one → what is typed."""
SKIPS = {
    "Sign out": "ends the session",
    "Dismiss": "it goes by itself",
    "Change password": "of one's own password: tests/browser/test_settings.py",
    "Confirm": "takes a code of the authenticator: tests/browser/test_settings.py",
}
"""Controls that are not used → why not."""
LAST = (
    "Create report…", "Remove policy…", "Disable…", "Lock…", "Delete current version…",
    "Destroy…", "Retire…", "Erase…", "Delete…", "Remove member…", "Delete account…",
)  # fmt: skip
"""Dialogs that are confirmed after all others: what they are about is gone, or its actions are."""
UNCONFIRMED = {
    "Seal…": "nothing answers afterwards: tests/browser/test_agent.py",
    "Create channel…": "wants a mail server: tests/browser/test_alerts.py",
    "Confirm your identity…": "root has no second factors: tests/browser/test_second_factors.py",
    "Register passkey…": "root has no second factors: tests/browser/test_second_factors.py",
    "Add authenticator app…": "root has no second factors: tests/browser/test_second_factors.py",
    "Replace…": "root has no second factors: tests/browser/test_second_factors.py",
    "Approve…": "wants the fingerprint of the machine: tests/browser/test_enrolment.py",
}
"""Dialogs that are cancelled only → why."""
THERE = (
    "/agents/held",
    "/agents/held?tab=commands",
    "/policies/theirs",
    "/policies/theirs?tab=versions",
    "/policies/idle",
    "/people?who=viewer",
    "/people?who=barred",
)
"""Of what the organization has, beside the pages that every one has."""


@pytest.fixture(scope="module")
def furnished() -> Iterator[Estate]:
    """A control plane whose organization has one of everything, and no other tests."""
    with own_folder() as folder, running(dev_plane(folder)) as plane:
        plane.sign_in()
        plane.organization(ORG, "viewer")
        with stocked(plane, ORG) as found:
            body = {"name": "barred", "role": "viewer", "password": PASSWORD}
            plane.want(201, "POST", f"organizations/{ORG}/users", body)
            plane.want(200, "PATCH", f"organizations/{ORG}/users/barred", {"disabled": True})
            idle = f"organizations/{ORG}/policies/idle/versions"
            plane.want(201, "POST", idle, {"document": DOCUMENT})
            until(lambda: _is_made(plane, found["report"]), "a report")
            yield Estate(plane, {})


def _is_made(plane: Plane, report: str) -> bool:
    found = plane.want(200, "GET", f"organizations/{ORG}/reports/{report}")
    return bool(found["state"] == "ready")


def crawled(window: Visit, pages: Iterable[str], *, follow: bool = True) -> Crawl:
    """All that these pages have was used, and every dialog confirmed that can be."""
    window.context.grant_permissions(["clipboard-write", "clipboard-read"])
    window.open("/")
    window.page.get_by_role("heading", level=1).wait_for()
    crawl = Crawl(window, FILLS, SKIPS)
    with crawl.watched():
        crawl.use(pages, follow=follow)
        left = crawl.confirm(LAST, UNCONFIRMED)
    assert "\n".join(crawl.faults) == ""
    assert left <= UNCONFIRMED.keys()
    assert len(crawl.missed) < FEW, crawl.missed
    return crawl


def test_the_super_admins_pages(chromium: Browser, furnished: Estate) -> None:
    """Organizations, and the fleet of all of them."""
    with visiting(chromium, furnished, org="platform") as window:
        pages = ["/organizations", "/", "/audit?tab=verify", "/usage"]
        crawl = crawled(window, pages, follow=False)
    assert "Create organization…" in {name for _, _, name, _ in crawl.dialogs}


def test_the_dashboard(chromium: Browser, furnished: Estate) -> None:
    """As an owner: each control used, each link followed, each dialog cancelled and confirmed."""
    missing = {"/agents/nobody", "/no-such-page"}  # what is shown of what is not there
    pages = [p for p in test_fleet.PAGES if p not in missing and "/agents/one" not in p]
    with visiting(chromium, furnished, role="owner", org=ORG) as window:
        crawl = crawled(window, [*pages, *THERE])
    assert len({name for _, _, name, _ in crawl.dialogs}) > MANY
    assert crawl.clicks > MANY * 5


def test_the_agents_own_pages(chromium: Browser) -> None:
    """As root."""
    with lone() as agent:
        user, barred = (
            tell(agent, "POST", "users", {"username": name, "policies": ["app"]})["id"]
            for name in ("keyed", "barred")
        )
        tell(agent, "POST", "keys", {"user": "keyed", "name": "laptop"})
        tell(agent, "PATCH", f"users/{barred}", {"status": "disabled"})
        there = [path for path in test_agent.PAGES if "/none" not in path]
        with looking(chromium, agent) as window:
            crawl = crawled(window, [*there, f"/users/{user}", f"/users/{barred}"])
    assert len({name for _, _, name, _ in crawl.dialogs}) > MANY / 2
