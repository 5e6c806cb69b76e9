"""All generated pages."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tools.reference import api, audit_events, cli, configuration, errors, metrics
from tools.reference.markdown import PAGES

_RENDERERS: Final[Mapping[str, Callable[[], str]]] = {
    "cli": cli.render,
    "configuration": configuration.render,
    "api": api.render,
    "metrics": metrics.render,
    "errors": errors.render,
    "audit-events": audit_events.render,
}


def render_all() -> dict[Path, str]:
    """Each file with the text that it should have."""
    return {PAGES / f"{name}.md": render() for name, render in _RENDERERS.items()}
