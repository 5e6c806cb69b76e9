"""Uses every control of every page once, and notes each answer and message that is a fault.

Two rounds. First each button, tab, fold, choice and link is used, and each dialog is cancelled.
Then each dialog is opened again and confirmed, filled in where it has to be. What was used on one
page is not used again on another of the same title.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from playwright.sync_api import Locator, Page, Request, Response, expect
from playwright.sync_api import TimeoutError as Late

from tests.browser.keyboard import still
from tests.browser.visit import PATIENCE, Visit

CLICK_WITHIN: Final = 30_000  # milliseconds until a control can be clicked
ROUNDS: Final = 4_000  # clicks after which something goes round in circles
MOST_OPTIONS: Final = 12  # of one choice
_AN_ERROR: Final = 400  # and all statuses above

_CONTROLS = """() => {
    for (const fold of document.querySelectorAll("main details")) fold.open = true;
    const kinds = {
        button: "button:not([role=tab])", tab: "[role=tab]", select: "select",
        switch: "input[type=checkbox], input[type=radio]", search: "input[type=search]",
        row: "tr[tabindex], [role=row][tabindex]",
    };
    const named = e => (e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent)
        .trim().replace(/\\s+/g, " ").slice(0, 60);
    const found = [];
    for (const [kind, selector] of Object.entries(kinds))
        for (const e of document.querySelectorAll(selector))
            if (!e.disabled && !e.closest("dialog")
                && e.checkVisibility({visibilityProperty: true}))
                found.push([kind, named(e), selector]);
    return found;
}"""
_MARK = """([selector, wanted]) => {
    for (const fold of document.querySelectorAll("main details")) fold.open = true;
    for (const e of document.querySelectorAll("[data-crawl]")) delete e.dataset.crawl;
    const named = e => (e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent)
        .trim().replace(/\\s+/g, " ").slice(0, 60);
    const e = [...document.querySelectorAll(selector)].find(
        e => named(e) === wanted && !e.disabled && !e.closest("dialog")
            && e.checkVisibility({visibilityProperty: true}));
    if (e) e.dataset.crawl = "1";
    return !!e;
}"""
_LINKS = """() => [...document.querySelectorAll("a[href]")].map(
    e => e.getAttribute("href"))"""
_FORM = "form:has([data-crawl][type=submit]) :is(input, textarea)"
# `New user: Name` of a field in a dialog, `AgentKey` of another one
_LABEL = """e => {
    const label = e.labels?.[0]?.textContent?.trim() ?? e.ariaLabel ?? "";
    const title = e.closest("dialog")?.querySelector("h2")?.textContent;
    return title ? `${title}: ${label}` : label;
}"""
_NUMBERS = re.compile(r"\b[0-9a-f-]{8,}\b|\d+")


@dataclass
class Crawl:
    """One window, and what went wrong in it. `fills`: pattern of a label → what is typed."""

    window: Visit
    fills: Mapping[str, str] = field(default_factory=dict)
    skips: Collection[str] = ()
    """Names of controls that are not used, each with its reason in the test."""
    faults: list[str] = field(default_factory=list)
    done: set[tuple[str, str, str]] = field(default_factory=set)
    dialogs: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Address, kind, name and selector of what opened each."""
    pages: set[str] = field(default_factory=set)
    """Addresses that were opened, without their numbers."""
    missed: set[str] = field(default_factory=set)
    """Controls that were gone when it was their turn."""
    clicks: int = 0
    doing: str = "opening"

    @property
    def page(self) -> Page:
        """The browser's."""
        return self.window.page

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note every answer of 400 and more, failed requests, and what the console says."""

        def answered(response: Response) -> None:
            if response.status >= _AN_ERROR:
                request = response.request
                self.fault(f"{response.status} for {request.method} {response.url}")

        def failed(request: Request) -> None:
            # a page that is left ends its requests by itself
            if "ERR_ABORTED" not in (request.failure or ""):
                self.fault(f"{request.failure} for {request.method} {request.url}")

        self.page.on("response", answered)
        self.page.on("requestfailed", failed)
        before = len(self.window.faults)
        yield
        self.page.remove_listener("response", answered)
        self.page.remove_listener("requestfailed", failed)
        self.faults += [f"console: {fault}" for fault in self.window.faults[before:]]
        del self.window.faults[before:]

    def fault(self, what: str) -> None:
        """Note it, with what was being done."""
        self.faults.append(f"{self.doing}: {what}")

    # --- first round ------------------------------------------------------------------------------

    def use(self, paths: Iterable[str], *, follow: bool = True) -> None:
        """Every control of these pages, and of those that they link to.

        Addresses that differ in numbers alone are of one kind: one of them is followed.
        """
        waiting = list(dict.fromkeys(paths))
        self.pages = {_plain(path) for path in waiting}
        while waiting:
            path = waiting.pop(0)
            self.open(path)
            self._use_all()
            for href in self._hrefs():
                if follow and _plain(href) not in self.pages:
                    self.pages.add(_plain(href))
                    waiting.append(href)

    def open(self, path: str) -> None:
        """Go there, and wait until nothing is on its way."""
        self.doing = path
        self.page.keyboard.press("Escape")
        self.window.go(path)
        still(self.window, path)

    def _use_all(self) -> None:
        left = self._new_controls()
        while left:
            where, kind, name, selector = left.pop(0)
            self.clicks += 1
            assert self.clicks < ROUNDS, "this goes round in circles"
            if self._where() != where or not self._mark(selector, name):
                self.open(where)
                if not self._mark(selector, name):
                    self.missed.add(name)  # it went with what was done before
                    continue
            self.doing = f"{where}: {kind} {name!r}"
            self._use_one(where, kind, name, selector)
            left = self._new_controls() + left  # what has just come may go with the next one

    def _where(self) -> str:
        return str(self.page.evaluate("location.pathname + location.search"))

    def _use_one(self, path: str, kind: str, name: str, selector: str) -> None:
        control = self.page.locator("[data-crawl]")
        if kind == "select":
            self._choose_all(control)
        elif kind == "search":
            control.fill("a")
            still(self.window, path)
            control.fill("")
        else:
            for element in self.page.locator(_FORM).all():
                self._fill(element)
            self._click(control)
        still(self.window, path)
        dialog = self.page.locator("dialog[open]")
        if dialog.count():
            self.dialogs.append((path, kind, name, selector))
            self._cancel(dialog)

    def _choose_all(self, control: Locator) -> None:
        first = control.input_value()
        values = control.locator("option").evaluate_all("all => all.map(e => e.value)")
        for value in [*values[:MOST_OPTIONS], first]:
            control.select_option(value)
            still(self.window, self.doing)
            if not control.count():
                return  # the page is another one now

    def _new_controls(self) -> list[tuple[str, str, str, str]]:
        """Those that were not used yet, as from now on they are, with the address of the page."""
        title, where = _plain(self.page.locator("h1").first.inner_text()), self._where()
        found: list[tuple[str, str, str, str]] = []
        for kind, name, selector in self.page.evaluate(_CONTROLS):
            key = (title, kind, _plain(name))
            if name in self.skips or key in self.done:
                continue
            self.done.add(key)
            found.append((where, kind, name, selector))
        return found

    def _hrefs(self) -> list[str]:
        found = []
        for href in self.page.evaluate(_LINKS):
            if href.startswith("/api/"):
                self.fault(f"a link to {href}, which a browser follows without the session key")
            elif href.startswith("/"):
                found.append(href)
        return found

    # --- second round -----------------------------------------------------------------------------

    def confirm(self, last: Collection[str], never: Collection[str]) -> set[str]:
        """Confirm each dialog that was seen, those of `last` at the end; which were not.

        `never` are those that this crawl cannot confirm, with a reason in the test.
        """
        order = {name: number for number, name in enumerate(last, 1)}
        left = {name for _, _, name, _ in self.dialogs}
        for path, kind, name, selector in sorted(self.dialogs, key=lambda d: order.get(d[2], 0)):
            if name in never:
                continue
            with self._unwatched():
                self.open(path)
            self.doing = f"{path}: {name!r}, confirmed"
            if not self._mark(selector, name):
                continue  # what it was about has gone with another one
            self._click(self.page.locator("[data-crawl]"))
            dialog = self.page.locator("dialog[open]")
            if not dialog.count():
                if self._mark(selector, name):
                    self.fault(f"{kind} opens no dialog any more")
                continue  # else it went a moment ago
            if self._submit(dialog):
                left.discard(name)
        return left

    @contextmanager
    def _unwatched(self) -> Iterator[None]:
        """To open a page whose subject may have been deleted since: no fault of it."""
        before, told = len(self.faults), len(self.window.faults)
        yield
        del self.faults[before:], self.window.faults[told:]

    def _submit(self, dialog: Locator) -> bool:
        for element in dialog.locator("input, textarea").all():
            self._fill(element)
        title = dialog.locator("h2").inner_text()
        asking = self.page.locator("dialog[open]").filter(
            has=self.page.get_by_role("heading", name=title, exact=True)
        )
        dialog.locator("button[type=submit]").click()
        try:
            expect(asking).to_have_count(0, timeout=CLICK_WITHIN)
        except AssertionError:
            said = dialog.inner_text().replace("\n", " ")[:300] if dialog.count() else ""
            self.fault(f"is not done: {said}")
            self.page.keyboard.press("Escape")
            return False
        still(self.window, self.doing)
        if dialog.count():  # what is shown once, such as a key
            dialog.locator("button[type=submit]").click()
            expect(dialog).to_have_count(0, timeout=PATIENCE)
        return True

    def _fill(self, element: Locator) -> None:
        kind = element.get_attribute("type") or "text"
        if kind in ("checkbox", "radio", "file") or not element.is_editable():
            return
        label = element.evaluate(_LABEL)
        known = next((text for name, text in self.fills.items() if re.match(name, label)), None)
        if known is not None:
            element.fill(known)
        elif element.evaluate("e => e.required && !e.value"):
            element.fill({"email": "crawl@example.org", "number": "1"}.get(kind, "crawl"))

    # --- both -------------------------------------------------------------------------------------

    def _mark(self, selector: str, name: str) -> bool:
        return bool(self.page.evaluate(_MARK, [selector, name]))

    def _click(self, control: Locator) -> None:
        try:
            control.click(timeout=CLICK_WITHIN)
        except Late as error:
            self.fault(f"cannot be clicked: {error.message}")
        still(self.window, self.doing)

    def _cancel(self, dialog: Locator) -> None:
        self.page.keyboard.press("Escape")
        expect(dialog).to_have_count(0, timeout=PATIENCE)
        still(self.window, self.doing)


def _plain(text: str) -> str:
    """Without what is another one in each row."""
    return _NUMBERS.sub("#", text)
