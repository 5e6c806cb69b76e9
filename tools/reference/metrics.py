"""docs/reference/metrics.md: every metric of both programs, from the code that exposes them."""

import ast
from collections.abc import Iterator
from typing import Final, NamedTuple

from tools.reference.markdown import (
    ROOT,
    called,
    code,
    matched,
    meanings,
    page,
    table,
)
from vault.metrics import COUNTERS, GAUGES

TITLE: Final = "Metrics"
INTRO: Final = """
`GET /metrics` of each agent and of each control-plane process, in Prometheus' text format, without a credential.
[Monitoring](../guides/monitoring.md) says how to scrape or send them, and which alert rules exist. Labels never contain a
path or a name of yours.
"""
TYPES: Final = {"Gauge": "gauge", "Counter": "counter", "Histogram": "histogram"}


class Metric(NamedTuple):
    """One family."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str


def render() -> str:
    """The page."""
    agent = [Metric(f"vault_{name}", "gauge", (), text) for name, text in GAUGES.items()]
    agent += [Metric(f"vault_{n}_total", "counter", (), text) for n, text in COUNTERS.items()]
    agent += _families("vault/metrics.py")
    control = [*_families("control/metrics.py"), *_control_gauges()]
    return page(TITLE, INTRO, ["## Agent", _table(agent), "## Control plane", _table(control)])


def _table(found: list[Metric]) -> str:
    rows = [
        (code(m.name), m.type, ", ".join(map(code, m.labels)), m.help)
        for m in sorted(set(found), key=lambda metric: metric.name)
    ]
    return table(("metric", "type", "labels", ""), rows)


def _families(file: str) -> Iterator[Metric]:
    """Families whose name stands in the code, with their labels."""
    tree = ast.parse((ROOT / file).read_text())
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        constants = _constants(function)
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and (kind := _kind(called(node))) and len(node.args) > 1:
                name, text = node.args[0], node.args[1]
                if isinstance(name, ast.Constant) and isinstance(text, ast.Constant):
                    yield Metric(
                        _full(str(name.value), kind),
                        kind,
                        _labels(node, constants),
                        str(text.value),
                    )


def _kind(name: str) -> str:
    return TYPES.get(name.removesuffix("MetricFamily"), "")


def _full(name: str, kind: str) -> str:
    """As it is exposed: a counter ends in `_total`."""
    return f"{name}_total" if kind == "counter" and not name.endswith("_total") else name


def _constants(function: ast.FunctionDef) -> dict[str, ast.expr]:
    return {
        target.id: node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _labels(node: ast.Call, constants: dict[str, ast.expr]) -> tuple[str, ...]:
    given = next((k.value for k in node.keywords if k.arg == "labels"), None)
    if given is None and len(node.args) > 2:  # noqa: PLR2004  # name, text, labels
        given = node.args[2]
    if isinstance(given, ast.Name):
        given = constants.get(given.id)
    if not isinstance(given, ast.List):
        return ()
    return tuple(str(each.value) for each in given.elts if isinstance(each, ast.Constant))


def _control_gauges() -> Iterator[Metric]:
    """What the control plane's processes read at each scrape: names with a function each."""
    tree = ast.parse((ROOT / "control" / "app.py").read_text())
    names = [name for node in ast.walk(tree) for name in _read_at_scrape(node)]
    told = meanings("metrics")["control"]
    matched(names, told, "metrics.toml")
    for name in names:
        yield Metric(f"control_{name}", "gauge", (), told[name])


def _read_at_scrape(node: ast.AST) -> Iterator[str]:
    """Keys with a lambda, in a dict or set one by one."""
    pairs: list[tuple[ast.expr | None, ast.expr]] = []
    match node:
        case ast.Dict():
            pairs = [*zip(node.keys, node.values, strict=True)]
        case ast.Assign(targets=[ast.Subscript(slice=name)], value=reader):
            pairs = [(name, reader)]
    for key, value in pairs:
        if isinstance(key, ast.Constant) and isinstance(value, ast.Lambda):
            yield str(key.value)
