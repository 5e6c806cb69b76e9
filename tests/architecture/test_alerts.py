"""Every alert there is: somebody raises it, and docs/reference/alerts.md names it."""

import re
from pathlib import Path

import pytest

from control.model.conditions import CONDITIONS
from protocols.link.vocabulary import AlertCode

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "alerts.md").read_text()


@pytest.mark.parametrize("code", AlertCode)
def test_every_alert_of_an_agent_is_raised_by_one(code: AlertCode) -> None:
    """A word that nobody says promises people an alert that never comes."""
    sources = "".join(file.read_text() for file in (ROOT / "vault").rglob("*.py"))
    assert f"AlertCode.{code.name}" in sources


@pytest.mark.parametrize("code", sorted(CONDITIONS | set(AlertCode)))
def test_every_alert_is_on_the_page(code: str) -> None:
    """With what it means."""
    assert f"`{code}`" in PAGE


def test_every_rule_is_on_the_page() -> None:
    """As whoever is woken by one looks for it."""
    rules = (ROOT / "deploy" / "prometheus" / "rules.yml").read_text()
    names = re.findall(r"- alert: (\w+)", rules)
    assert len(names) > 20
    assert [name for name in names if name not in PAGE] == []
