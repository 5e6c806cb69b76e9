"""What bounds a template, where it takes long to see in a process of its own."""

from pathlib import Path

import pytest

from ui.cli import template
from ui.cli.errors import CliError
from ui.cli.template import Renderer, Template

LOOP = "{% for i in range(99999) %}"
ENDLESS = f"{LOOP}{LOOP}{{% endfor %}}{{% endfor %}}"


@pytest.mark.parametrize("text", [ENDLESS, f"{LOOP}{LOOP}x{{% endfor %}}{{% endfor %}}"])
def test_a_template_has_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Then it is ended, whether it makes something or not; the file is as it was."""
    assert template.MAX_SECONDS == 10
    monkeypatch.setattr(template, "MAX_SECONDS", 0.1)
    source, out = tmp_path / "a.j2", tmp_path / "a.conf"
    source.write_text(text)
    out.write_text("before")
    one = Template(source, out, 0o600, "", "")
    with pytest.raises(CliError, match=r"takes more than 0\.1 s") as raised:
        Renderer([one]).render_all(None)  # type: ignore[arg-type]  # no secret is read
    assert raised.value.exit_code == 1
    assert out.read_text() == "before"
    assert sorted(tmp_path.iterdir()) == [out, source]
