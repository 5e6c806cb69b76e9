"""Rules and dashboard as Prometheus' own tools see them; every metric in them is one we have."""

import copy
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from actors.tree import MailboxStats, Node
from control.metrics import PrometheusMetrics as ControlMetrics
from vault.metrics import Metrics
from vault.model.health import DiskHealth

DEPLOY = Path("deploy")
RULES = DEPLOY / "prometheus" / "rules.yml"
DASHBOARD = json.loads((DEPLOY / "grafana" / "freehold.json").read_text())
OURS = re.compile(r"\b((?:vault|control)_[a-z0-9_]+)\b")


def promtool(*arguments: str) -> str:
    """Its verdict; fails with it."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def queries() -> Iterator[tuple[str, str]]:
    """Every query of the dashboard, with its panel's title."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def exposed() -> set[str]:
    """The names that both sides show when everything has been counted once."""
    metrics, control = Metrics(), ControlMetrics()
    metrics.count_operation("secret.read", "ok")
    metrics.observe_request("GET", "x", 0.1)
    metrics.register_counters(requests_shed=lambda: 1.0, worker_restarts=lambda: 1.0)
    box = MailboxStats(1, 2, "refuse", 0, 0, 0, 0, 0)
    node = Node(name="a", kind="k", state="running", restarts=0, last_failure="", handled=1,
                mean_time=0.1, max_time=0.1, mailbox=box, children=())  # fmt: skip
    disk = DiskHealth(place="data", free=1, total=2, low=False)
    with (
        metrics.track_actors(lambda: node),
        metrics.track_sinks(lambda: {"file": 0.0}),
        metrics.track_disks(lambda: (disk,)),
    ):
        text = metrics.render().decode()
    control.count_request("GET", 200)
    source = Path("control/app.py").read_text()
    gauges = set(re.findall(r'"([a-z_]+)": lambda: float|gauges\["([a-z_]+)"\]', source))
    names = {one or other for one, other in gauges}
    with control.sample_gauges(lambda: {"online": 1}, {name: lambda: 0.0 for name in names}):
        text += control.render().decode()
    return {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line[:1] != "#"}


def test_the_rules_are_good_and_do_what_they_say() -> None:
    """By promtool: syntax, and which alert fires when."""
    promtool("check", "rules", "--lint-fatal", str(RULES))
    promtool("test", "rules", str(DEPLOY / "prometheus" / "rules_test.yml"))
    promtool("check", "config", "--syntax-only", str(DEPLOY / "prometheus" / "prometheus.yml"))


def test_every_query_of_the_dashboard_is_one(tmp_path: Path) -> None:
    """As a rule each is accepted by promtool; Grafana's own variable stands for a time."""
    rules = [
        {"record": f"panel:{number}", "expr": expr.replace("$__rate_interval", "5m")}
        for number, (_, expr) in enumerate(queries())
    ]
    assert len(rules) > 15
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))


@pytest.mark.parametrize("where", ["dashboard", "rules"])
def test_every_metric_is_one_we_have(where: str) -> None:
    """What is watched exists; a metric that is renamed takes its panel along."""
    if where == "rules":
        groups = yaml.safe_load(RULES.read_text())["groups"]
        text = " ".join(rule["expr"] for group in groups for rule in group["rules"])
    else:
        text = " ".join(expr for _, expr in queries())
    used = set(OURS.findall(text))
    assert used
    assert used <= exposed()


def lost(given: Any, kept: Any, place: str = "") -> list[str]:
    """Where `kept` has not what is `given`."""
    if isinstance(given, dict) and isinstance(kept, dict):
        inner = (lost(value, kept.get(key), f"{place}/{key}") for key, value in given.items())
        return [one for some in inner for one in some]
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        pairs = enumerate(zip(given, kept, strict=True))
        return [one for i, (a, b) in pairs for one in lost(a, b, f"{place}/{i}")]
    return [] if given == kept else [place]


def through_grafana(dashboard: Any) -> list[str]:
    """What Grafana's own types (its Foundation SDK, made of its schemas) do not know of it."""
    read = Dashboard.from_json(copy.deepcopy(dashboard))
    return lost(dashboard, json.loads(json.dumps(read, cls=JSONEncoder)))


def test_grafana_knows_every_word_of_the_dashboard() -> None:
    """Nothing is lost on the way through its types; what is misspelt would be."""
    register_default_plugins()
    assert through_grafana(DASHBOARD) == []
    wrong = copy.deepcopy(DASHBOARD)
    for part in (wrong, wrong["panels"][0], wrong["panels"][0]["targets"][0]):
        part["misspelt"] = True
    wrong["panels"][1].setdefault("options", {})["misspelt"] = True
    assert len(through_grafana(wrong)) == 4


def test_the_dashboard_is_whole() -> None:
    """What Grafana needs to import it: ids once, places without overlap, one data source."""
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["expr"] and target["refId"] for target in panel["targets"])
    assert {"datasource", "instance"} == {one["name"] for one in DASHBOARD["templating"]["list"]}
