"""What a browser makes of hostile texts: every page of an organization that has one in every field.

How they got in, and what else an attacker tries, is in tests/acceptance/control/test_attacker.py.
"""

from playwright.sync_api import expect

from tests.acceptance.control.attack import FREE, LABEL, MESSAGE, besieged
from tests.browser.conftest import Visiting
from tests.browser.estate import Estate
from tests.browser.visit import PATIENCE, Visit

ORG = "besieged"
PAGES = (
    "/", "/agents/held", "/agents/held?tab=commands", "/policies", "/policies/theirs",
    "/policies/theirs?tab=document", "/policies/theirs?tab=versions", "/rollouts", "/enrolment",
    "/alerts", "/alerts?tab=channels", "/alerts?tab=deliveries", "/compliance",
    "/compliance?tab=schedules", "/retention", "/usage?tab=top", "/audit", "/people",
    "/people?who=mallory", "/people?tab=invitations", "/people?tab=tokens",
    "/people?tab=provider", "/people?tab=rules", "/organizations",
)  # fmt: skip
HIDDEN = (
    "password", "client_secret", "sessions_confirm code",  # never told again
    "policies_validate", "replays_start",  # tried, and not kept
    "rules.[]", "document.description",  # of versions that another followed
    "channels_create name", "reports_ask", "report-schedules_add", "terms.scopes", "client_id",
    "agents_accept_log", "agents_lock", "rollouts_halt", "holds_lift",
    "server.username", "control-notes",  # in a dialog, below a control: tests of these pages
)  # fmt: skip
"""What these pages do not say: it is a secret, another value came after it, or one has to ask."""
_TEXTS = """() => [document.body.innerText,
    ...[...document.querySelectorAll("input, textarea, [title]")].map(e => e.value ?? e.title)
].join("\\n")"""
expect.set_options(timeout=PATIENCE)


def test_nothing_that_anybody_wrote_is_run(visit: Visiting, estate: Estate) -> None:
    """It is shown as it was written: by people, by policies, by an agent, in every field."""
    estate.plane.organization(ORG, "viewer")
    with besieged(estate.plane, ORG) as (_, planted), visit(org="platform") as window:
        window.page.on("dialog", lambda dialog: window.faults.append(f"RAN: {dialog.message}"))
        seen = "\n".join(texts(window, path) for path in PAGES)
        assert all("404" in fault for fault in window.faults), window.faults
        window.faults.clear()
    places = {each.place: each.text for each in planted if each.taken}
    shown = {place for place in places if not any(word in place for word in HIDDEN)}
    assert shown < FREE
    missing = sorted(place for place in shown if places[place] not in seen)
    assert missing == [], "\n".join(missing)
    assert MESSAGE in seen
    assert LABEL in seen


def texts(window: Visit, path: str) -> str:
    """All that the page says, once it has loaded. No text has become an element."""
    window.open(f"{path}{'&' if '?' in path else '?'}org={ORG}")
    window.page.get_by_role("heading", level=1).wait_for()
    expect(window.page.locator("main .state[role=status]")).to_have_count(0)
    window.page.wait_for_load_state("networkidle")
    assert window.page.locator("img:not(.brand img), body script").count() == 0, path
    found: str = window.page.evaluate(_TEXTS)
    return found
