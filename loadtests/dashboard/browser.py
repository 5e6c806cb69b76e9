"""The distribution's Chromium without a window of its own, signed in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

CHROMIUM: Final = "/usr/bin/chromium-headless-shell"  # two thirds of what the whole browser takes
FLAGS: Final = [
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--font-render-hinting=none"
]  # fmt: skip
PATIENCE: Final = 60_000  # milliseconds
WIDE: Final = (1440, 900)
NARROW: Final = (390, 844)
Size = tuple[int, int]
Scheme = Literal["dark", "light"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The distribution's own, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=FLAGS,
        )
        yield browser
        browser.close()


@contextmanager
def window(browser: Browser, size: Size = WIDE, scheme: Scheme = "light") -> Iterator[Page]:
    """An empty page of that size."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


def sign_in(context: BrowserContext, address: str, org: str, name: str, password: str) -> None:
    """Give the browser a session, as the form would. Raises `RuntimeError` when it is refused."""
    answer = context.request.post(
        f"{address}/api/v1/sessions",
        data={"organization": org, "name": name, "password": password},
        headers={"X-Freehold-Session": "cookie", "Origin": address},
    )
    if not answer.ok:
        raise RuntimeError(answer.text())
    page = context.new_page()
    page.route("**/*", lambda route: route.fulfill(body="", content_type="text/html"))
    page.goto(address)
    key = answer.json()["session_key"]
    page.evaluate("key => localStorage.setItem('freehold-session-key', key)", key)
    page.close()
