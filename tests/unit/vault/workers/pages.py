"""Pages for tests."""

import os

from vault.workers import page


def new_page() -> page.Page:
    """A new page; its descriptor is closed again."""
    fd = page.create()
    try:
        return page.Page(fd)
    finally:
        os.close(fd)
