"""A failure at any time is the run's, also before Locust's figures begin (`--reset-stats`).

It may be seen by any of Locust's processes, so what they leave is a file.
"""

import os
from pathlib import Path
from typing import Any

VARIABLE = "FREEHOLD_PEOPLE_FAILED"
"""In the environment of Locust: the file that is there once anything has failed."""


def record_failure(exception: BaseException | None = None, **_: Any) -> None:
    """What Locust calls behind each request. Raises `KeyError` without the variable."""
    if exception is not None:
        Path(os.environ[VARIABLE]).touch()
