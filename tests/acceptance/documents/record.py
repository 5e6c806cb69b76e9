"""Write into pages what their examples give now: `python -m tests.acceptance.documents.record`.

    python -m tests.acceptance.documents.record docs/guides/policies.md …

Outputs that still match are left as they are. Read the difference before you commit it.
"""

import sys
from pathlib import Path

from tests.acceptance.documents.console import recorded
from tests.acceptance.documents.setting import outputs

if __name__ == "__main__":
    for name in sys.argv[1:]:
        page = Path(name)
        text = page.read_text()
        page.write_text(recorded(text, outputs(text)))
