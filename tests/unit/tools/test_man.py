import re

from tools.man import escape, pages
from ui.cli.main import GROUPS


def test_there_is_a_page_for_each_group() -> None:
    """Named after it, with all its commands and their examples."""
    found = pages()
    assert {f"freehold-{name}.1" for name in GROUPS} | {"freehold.1"} <= set(found)
    page = found["freehold-secret.1"]
    assert page.startswith(".TH FREEHOLD-SECRET 1 ")
    assert ".SH FREEHOLD SECRET METADATA UPDATE" in page
    assert "    freehold secret get secret/app/db \\-\\-raw" in page
    assert all(page.isascii() for page in found.values())


def test_no_text_is_a_request() -> None:
    """A line that begins with a dot or an apostrophe, a backslash, a dash."""
    assert escape(".x\n'y \\ --z é") == "\\&.x\n\\(aqy \\e \\-\\-z \\[u00E9]"
    requests = {
        line.split()[0] for page in pages().values() for line in page.splitlines()
        if re.match(r"[.']", line)
    }  # fmt: skip
    assert requests <= {".TH", ".SH", ".PP", ".TP", ".B", ".BR", ".I", ".nf", ".fi"}
