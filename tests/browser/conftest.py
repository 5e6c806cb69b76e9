"""One browser; one estate for all tests of the dashboard, an agent for each file of the agent's."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest
from playwright.sync_api import Browser

from loadtests.dashboard.browser import chromium as running_chromium
from tests.acceptance.agent import Agent
from tests.browser.estate import Estate
from tests.browser.estate import estate as made
from tests.browser.lone import lone, looking
from tests.browser.visit import Visit, visiting

Visiting = Callable[..., AbstractContextManager[Visit]]
Looking = Callable[..., AbstractContextManager[Visit]]


@pytest.fixture(scope="session")
def estate() -> Iterator[Estate]:
    """A control plane with two live agents; what a test changes it has to put back."""
    with made() as found:
        yield found


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One for all tests."""
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def visit(chromium: Browser, estate: Estate) -> Visiting:
    """Opens windows for `with`; each is checked for faults at its end (see `visiting`)."""
    return partial(visiting, chromium, estate)


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """One without a control plane for all tests of a file; what a test changes is its own."""
    with lone() as found:
        yield found


@pytest.fixture
def look(chromium: Browser, agent: Agent) -> Looking:
    """Opens windows on that agent's own pages for `with`, signed in as root."""
    return partial(looking, chromium, agent)
