"""docs/spec/api.md names what the server refuses before an API sees it."""

import re
from pathlib import Path


def test_every_status_of_a_refusal_is_on_the_page(root: Path) -> None:
    """What clients meet when they break HTTP itself is written down, and nothing else is."""
    text = (root / "docs/spec/api.md").read_text()
    table = text.split("What breaks HTTP itself", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    told = {int(status) for row in rows for status in row.split(", ")}
    code = "".join(file.read_text() for file in (root / "protocols/http").rglob("*.py"))
    told.discard(429)  # of the agent, which puts refusals on record (`limits.failures`)
    assert told == {int(status) for status in re.findall(r"RefusedError\(\s*(\d{3})\b", code)}
