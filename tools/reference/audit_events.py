"""docs/reference/audit-events.md: every operation that stands in an audit log."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any, Final

import vault.handlers
from control.api.rest_app import RESOURCES
from tools.reference.markdown import ROOT, code, matched, meanings, page, table

TITLE: Final = "Audit events"
INTRO: Final = """
The field `operation` of an audit record says what was done. This page lists every operation. The record's other fields,
its hashes and its place in the chain are in [the format](../spec/audit.md); how to search is in
[Query and verify the audit log](../guides/audit-log.md).

`result` is `ok`, `denied` or `failed`. A read has one record, with `phase` `outcome`, written before the value leaves. A
change has two with the same `request_id`: `intent` before anything happens, and `outcome`. An intent without an outcome
means that the agent was killed between them: look whether the change happened.
"""
AGENT: Final = """\
`capability` is what the caller's policies must allow on the path. Without one, the operation is open to every valid
credential and shows only what the caller may see, or it takes shares of the root key."""
CONTROL: Final = """\
The audit trail of an organization has every change, every sign-in and every refusal to somebody who is known. Reads are
not recorded."""


def render() -> str:
    """The page."""
    told = meanings("audit_events")
    handlers = _handlers()
    matched(handlers, told["agent"], "audit_events.toml [agent]")
    _written("vault", told["background"])
    _written("control", {name: "" for name in told["control"] if not name.startswith("link.")})
    rows = [
        (code(name), _records(handler), _capability(handler), told["agent"][name])
        for name, handler in sorted(handlers.items())
    ]
    recorded = [
        (code(endpoint.name), endpoint.summary)
        for resource in RESOURCES
        for endpoint in resource.all
        if endpoint.mutates
    ]
    others = [(code(name), text) for name, text in told["control"].items()]
    services = [(code(name), text) for name, text in told["background"].items()]
    parts = ["## Agent", AGENT, table(("operation", "records", "capability", ""), rows)]
    parts += ["## Recorded by the agent itself", table(("operation", ""), services)]
    parts += ["## Control plane", CONTROL, table(("operation", ""), sorted(recorded))]
    parts += ["## Recorded by the control plane itself", table(("operation", ""), others)]
    return page(TITLE, INTRO, parts)


class _Anything:
    """Stands for whatever a handler's class was given."""

    def __getattr__(self, _: str) -> "_Anything":
        return self

    def __call__(self, *_: object, **__: object) -> None:
        return None


def _handlers() -> dict[str, Any]:
    """The table of operations, without a vault behind it."""
    found: dict[str, Any] = {}
    for module in pkgutil.iter_modules(vault.handlers.__path__):
        for noun in _nouns(importlib.import_module(f"vault.handlers.{module.name}")):
            bare: Any = type(noun.__name__, (noun,), {"__getattr__": lambda _, __: _Anything()})
            found |= object.__new__(bare).handlers()
    return found


def _nouns(module: Any) -> Iterator[type]:
    for each in vars(module).values():
        is_own = isinstance(each, type) and each.__module__ == module.__name__
        if is_own and "handlers" in vars(each):
            yield each


def _records(handler: Any) -> str:
    if not handler.is_audited:
        return "refusals"
    return "intent, outcome" if handler.mutates else "outcome"


def _capability(handler: Any) -> str:
    if handler.capability is None:
        return ""
    if callable(handler.capability):
        return "`create` or `update`"
    return code(str(handler.capability))


def _written(folder: str, names: dict[str, str]) -> None:
    """Each of these stands in the code. Raises `MeaningError` for one that does not."""
    sources = "".join(file.read_text() for file in (ROOT / folder).rglob("*.py"))
    quoted = set(re.findall(r"\"([a-z-]+(?:\.[a-z_]+)+)\"", sources))
    matched(quoted & set(names), names, f"audit_events.toml, of {folder}")
