"""An agent without a control plane, and a browser's window on its own web interface."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser

from tests.acceptance.agent import Agent, dev_agent, own_folder, running
from tests.browser.visit import Visit, hold_session_key, visiting

STRANGE = "<img src=x onerror=alert(1)>"
NAMES = ("secret/app/db", "secret/app/mail", "secret/ci/token")


@contextmanager
def lone(*options: str) -> Iterator[Agent]:
    """It runs, with a few secrets, a policy and a user; with these options of the command."""
    with own_folder() as folder:
        made = dev_agent(folder, workers=1)
        made.command += options
        with running(made) as agent:
            _fill(agent)
            yield agent


def _fill(agent: Agent) -> None:
    for name in NAMES:
        tell(agent, "POST", "secrets", {"name": name, "value": {"password": "old"}})
    tell(agent, "PUT", "rotation/secret/app/db", {"rotator": "generated"})
    rule = {"effect": "allow", "paths": ["secret/app/*"], "capabilities": ["read", "list"]}
    tell(agent, "PUT", "policies/app", {"description": "The app", "rules": [rule]})
    tell(agent, "POST", "users", {"username": "ada", "policies": ["app"]})


def tell(agent: Agent, method: str, path: str, body: object = None) -> Any:
    """As root, over the API; what it answered. Fails for a refusal."""
    answer = agent.call(method, f"/api/v1/{path}", body)
    assert answer.status < 300, answer.body  # success
    return answer.json


@contextmanager
def looking(browser: Browser, agent: Agent, *, credential: str = "", **how: Any) -> Iterator[Visit]:
    """A window that is signed in with the credential, root's unless told otherwise."""
    with visiting(browser, agent, role=None, **how) as visit:
        headers = {"Authorization": f"Bearer {credential or agent.token}"}
        answer = visit.context.request.post(f"{agent.address}/api/v1/sessions", headers=headers)
        assert answer.ok, answer.text()
        hold_session_key(visit.context, agent.address, answer.json()["session_key"])
        yield visit
