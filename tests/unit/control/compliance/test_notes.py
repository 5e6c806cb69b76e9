"""What people add is kept with its digest on the trail, and is in the next report."""

import pytest

from control.compliance import notes
from control.compliance.report_file import parse_report_file
from control.core import Core
from control.crypto import sha256
from control.errors import ConflictError, NotFoundError, TooLargeError, ValidationError
from control.model.compliance import MAX_ATTACHMENT, ControlNote, Result
from tests.unit.control.compliance.conftest import made
from tests.unit.control.conftest import ROOT

PLAN = ("plan.pdf", b"%PDF")


async def add(
    core: Core, control: str = "CC1.4", document: tuple[str, bytes] = PLAN
) -> ControlNote:
    """One in acme."""
    return await core.compliance.notes.add_note(
        "acme", ("soc2", control), "see", document, caller=ROOT, request_id="r"
    )


async def test_a_note_is_in_the_next_report(core: Core) -> None:
    """With the document's digest, which is on the trail, too; it makes nothing met by itself."""
    note = await add(core)
    [event] = await core.audit.log.newest_events("acme", 0, 1)
    assert event.detail["digest"] == note.digest == sha256(b"%PDF").hex()
    assert (await core.compliance.notes.get_note("acme", note.id)).content == b"%PDF"
    _, body = await made(core)
    [control] = [c for c in parse_report_file(body).controls if c.id == "CC1.4"]
    assert control.result is Result.NOT_EVIDENCED
    assert [(n.text, n.digest) for n in control.notes] == [("see", note.digest)]
    assert list(await core.compliance.notes.list_notes("acme")) == [("soc2", "CC1.4")]


async def test_it_has_bounds_and_an_organization(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A known control, a document of bounded size, a bounded number."""
    with pytest.raises(ValidationError, match="control_unknown"):
        await add(core, "CC9.9")
    with pytest.raises(TooLargeError):
        await add(core, document=("x", b"x" * (MAX_ATTACHMENT + 1)))
    note = await add(core, document=("", b""))
    assert note.digest == ""
    with pytest.raises(NotFoundError):
        await core.compliance.notes.get_note("platform", note.id)
    monkeypatch.setattr(notes, "MOST", 1)
    with pytest.raises(ConflictError, match="notes_full"):
        await add(core)
