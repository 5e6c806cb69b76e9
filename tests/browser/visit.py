"""A browser's window on the dashboard, and everything in it that nobody may see."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, BrowserContext, Page

from tests.acceptance.agent import Agent
from tests.browser.estate import Estate

WIDE, NARROW, WIDEST = (1440, 900), (390, 844), (2560, 1440)
PATIENCE = 60_000  # milliseconds for what other processes bring about, on a busy machine
AXE = Path(__file__).parents[2] / "ui/web/node_modules/axe-core/axe.min.js"
_GO = """path => {
    history.pushState(null, "", path); dispatchEvent(new PopStateEvent("popstate"))
}"""
_COUNT_REQUESTS = """(() => {
    const real = window.fetch;
    window.fetching = 0;
    window.fetch = (...all) => {
        window.fetching++;
        return real(...all).finally(() => window.fetching--);
    };
})()"""
_RUN_AXE = """async within => {
    const found = await axe.run(within, {resultTypes: ["violations"]});
    return found.violations.map(
        one => `${one.id}: ${one.nodes.map(node => node.html).join(" | ")}`);
}"""


@dataclass
class Visit:
    """One window. `faults`: what the console, the page or its security policy complained of."""

    page: Page
    context: BrowserContext
    address: str
    faults: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Go to an address of the dashboard."""
        self.page.goto(self.address + path)

    def go(self, path: str) -> None:
        """The same without loading anew, as a link inside does."""
        self.page.evaluate(_GO, path)

    def see(self, text: str, *, timeout: int = PATIENCE) -> None:
        """Wait until the page shows it."""
        self.page.get_by_text(text, exact=True).first.wait_for(timeout=timeout)

    def heading(self, text: str) -> None:
        """Wait until the page of this title is there."""
        self.page.get_by_role("heading", name=text, exact=True, level=1).wait_for(timeout=PATIENCE)

    def findings(self, within: str = "html") -> list[str]:
        """What axe-core finds wrong there for people who do not see it as drawn."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text())
        found: list[str] = self.page.evaluate(_RUN_AXE, within)
        return found

    @property
    def session_key(self) -> str:
        """What the page keeps beside its cookie."""
        return str(self.page.evaluate("localStorage.getItem('freehold-session-key')"))

    def session(self) -> Any:
        """What the server says of the page's session."""
        at = f"{self.address}/api/v1/sessions/current"
        key = {"X-Session-Key": self.session_key}
        return self.context.request.get(at, headers=key).json()

    @property
    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))


@contextmanager
def visiting(
    browser: Browser,
    estate: Estate | Agent,
    *,
    role: str | None = "admin",
    org: str = "acme",
    size: tuple[int, int] = WIDE,
    scheme: Literal["dark", "light"] = "light",
) -> Iterator[Visit]:
    """A window, on an estate signed in unless `role` is None.

    Raises `AssertionError` at its end for a fault.
    """
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.add_init_script(_COUNT_REQUESTS)
    try:
        if role is not None and isinstance(estate, Estate):
            sign_in(context, estate, org, role)
        visit = Visit(context.new_page(), context, estate.address)
        _listen(visit)
        yield visit
        assert not visit.faults, visit.faults
    finally:
        context.close()


def sign_in(context: BrowserContext, estate: Estate, org: str, name: str) -> None:
    """Give the browser a session, as the form would."""
    body = {"organization": org, "name": name, "password": estate.password(org)}
    headers = {"X-Freehold-Session": "cookie", "Origin": estate.address}
    address = f"{estate.address}/api/v1/sessions"
    answer = context.request.post(address, data=body, headers=headers)
    assert answer.ok, answer.text()
    hold_session_key(context, estate.address, answer.json()["session_key"])


def hold_session_key(context: BrowserContext, origin: str, key: str) -> None:
    """Put it where a page that has signed in keeps it."""
    page = context.new_page()
    page.route("**/*", lambda route: route.fulfill(body="", content_type="text/html"))
    page.goto(origin)
    page.evaluate("key => localStorage.setItem('freehold-session-key', key)", key)
    page.close()


def _listen(visit: Visit) -> None:
    def console(message: Any) -> None:
        if message.type in ("error", "warning"):
            visit.faults.append(f"{message.text} ({message.location.get('url', '')})")

    visit.page.on("console", console)
    visit.page.on("pageerror", lambda error: visit.faults.append(str(error)))
