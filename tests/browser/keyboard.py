"""A page by keyboard alone: what can be reached, in which order, and out of its dialogs again."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from playwright.sync_api import expect

from tests.browser.visit import PATIENCE, Visit

MOST = 150  # presses until the end of any page
Scheme = Literal["dark", "light"]
SCHEMES: Final[tuple[Scheme, ...]] = ("dark", "light")
"""In turns, a dialog each: a look by axe-core takes a second."""
_MARK = """() => {
    const all = "a[href], button, input, select, textarea, summary, [tabindex]";
    const reached = [...document.querySelectorAll(all)].filter(
        e => !e.disabled && e.tabIndex >= 0 && e.checkVisibility({visibilityProperty: true}));
    // of radio buttons with one name, one is reached; arrows go to the others
    const radios = new Set();
    const stops = reached.filter(e => {
        if (e.type !== "radio") return true;
        if (radios.has(e.name)) return false;
        return radios.add(e.name);
    });
    stops.forEach((e, n) => { e.dataset.stop = n; });
    document.body.tabIndex = -1;
    document.body.focus();  // so that the next one is the first of the page
    document.body.removeAttribute("tabindex");
    return stops.map(e => (e.getAttribute("aria-label") || e.textContent || e.name).slice(0, 40));
}"""
_WHERE = """() => {
    const at = document.activeElement;
    if (at === document.body) return null;
    const outlined = e => getComputedStyle(e).outlineStyle !== "none";
    const drawn = outlined(at) || outlined(at.parentElement);  // an editor's is around its sheet
    const box = at.getBoundingClientRect();
    const onScreen = box.bottom > 0 && box.top < innerHeight && box.right > 0;
    return [Number(at.dataset.stop ?? -1), drawn && onScreen, at.outerHTML.slice(0, 120)];
}"""
_OPENERS = """() => {
    // what is behind a fold counts as well: a person would open it first
    for (const fold of document.querySelectorAll("main details")) fold.open = true;
    return [...document.querySelectorAll("main button")]
        .filter(e => e.textContent.trim().endsWith("…") && !e.disabled
            && e.checkVisibility({visibilityProperty: true}))
        .map(e => [e.textContent.trim(), e.getAttribute("aria-label") || e.textContent.trim()]);
}"""
# What was asked for may ask for more once it is drawn: so nothing loads, and not four frames later;
# and a policy that is typed is judged. Some buttons come once the agent has said that they are
# allowed, and nothing but a request that is on its way shows that it is asked.
_STILL = """async patience => {
    const end = performance.now() + patience;
    const frame = () => new Promise(requestAnimationFrame);
    const waits = () => window.fetching || document.querySelector("main .state[role=status]")
        || [...document.querySelectorAll(".badge")].some(e => e.textContent.includes("Validating"));
    for (let quiet = 0; quiet < 5; await frame()) {
        quiet = waits() ? 0 : quiet + 1;
        if (performance.now() > end) return false;
    }
    return true;
}"""
_INSIDE = """() => document.activeElement === document.body
    || !!document.activeElement.closest("dialog")"""


def settled(window: Visit, path: str, title: str) -> None:
    """Open the page, and wait until it has what it shows."""
    window.go(path)
    window.heading(title)
    still(window, path)


def still(window: Visit, path: str) -> None:
    """Wait until nothing on the page is on its way."""
    assert window.page.evaluate(_STILL, PATIENCE), path


def walked(window: Visit) -> tuple[list[str], list[Any]]:
    """The names of all that can have the focus, and where it was at each press of Tab."""
    names: list[str] = window.page.evaluate(_MARK)
    found = []
    for _ in range(MOST):
        window.page.keyboard.press("Tab")
        if (where := window.page.evaluate(_WHERE)) is None:
            break
        found.append(where)
        if where[0] == len(names) - 1:
            break
    return names, found


def reached_by_tab(window: Visit, pages: Mapping[str, str]) -> None:
    """On each page (address → title), from the skip link to the last control, and all are seen."""
    window.open("/")
    for path, title in pages.items():
        settled(window, path, title)
        names, found = walked(window)
        numbers = [number for number, _, _ in found]
        missed = set(range(len(names))) - set(numbers)
        assert missed == set(), (path, [names[number] for number in missed])
        known = [number for number in numbers if number >= 0]
        assert known == sorted(known), (path, found)
        assert [html for _, is_seen, html in found if not is_seen] == [], path
        assert names[0] == "Skip to content"


def dialogs(window: Visit, pages: Mapping[str, str]) -> set[str]:
    """Open each by Enter on its button, go round in it, leave by Escape; what the buttons say.

    Those of one text on pages of one title are one dialog; what is folded up is opened first.
    """
    done: set[tuple[str, str]] = set()
    window.open("/")
    for path, title in pages.items():
        settled(window, path, title)
        for text, name in window.page.evaluate(_OPENERS):
            if (title, text) not in done:
                # the page behind is looked at once; it is the same behind the others
                looked_at = "dialog" if title in {page for page, _ in done} else "html"
                done.add((title, text))
                _in_and_out(window, path, name, looked_at, SCHEMES[len(done) % 2])
    return {text for _, text in done}


def _in_and_out(window: Visit, path: str, name: str, looked_at: str, scheme: Scheme) -> None:
    page, keys = window.page, window.page.keyboard
    opener = page.locator("main").get_by_role("button", name=name, exact=True).first
    opener.focus()
    keys.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    page.emulate_media(color_scheme=scheme)
    assert window.findings(looked_at) == [], (path, name, scheme)
    for _ in range(dialog.locator("input, select, textarea, button").count() + 2):
        keys.press("Tab")
        assert page.evaluate(_INSIDE), (path, name)
    keys.press("Escape")
    expect(dialog).to_have_count(0)
    # closed for the browser and not yet for the page, it would take the next one with it
    expect(page.locator("dialog")).to_have_count(0)
    expect(opener).to_be_focused()
