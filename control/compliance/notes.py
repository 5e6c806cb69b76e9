"""Notes of people for a control: a sentence, perhaps with a document. Notes are never changed."""

from typing import Final

from actors import World
from control.compliance.frameworks import require_control
from control.crypto import sha256
from control.errors import ConflictError, NotFoundError, TooLargeError
from control.model.compliance import MAX_ATTACHMENT, ControlNote, NoteView
from control.model.operation import Operation, Origin
from control.model.people import Caller
from control.services.audit_log import append_event, new_audit_event
from control.store import compliance
from control.store.rows import Tx
from control.store.store import Store

MOST: Final = 1000  # of an organization


class ControlNotes:
    """Adds, lists and reads notes."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world

    async def add_note(
        self,
        org: str,
        control: tuple[str, str],
        text: str,
        document: tuple[str, bytes],
        *,
        caller: Caller,
        request_id: str,
    ) -> ControlNote:
        """Add a note. `document`: name and bytes, empty for none; its digest is in the audit log.

        Raises `ValidationError`, `TooLargeError`, `ConflictError`.
        """
        require_control(*control)
        name, content = document
        if len(content) > MAX_ATTACHMENT:
            raise TooLargeError(
                "attachment_too_large",
                f"a document has at most {MAX_ATTACHMENT} bytes: note where a larger one is",
            )
        made = ControlNote(
            org=org,
            id=self._world.new_id(),
            framework=control[0],
            control=control[1],
            text=text,
            name=name,
            digest=sha256(content).hex() if content else "",
            content=content,
            created_by=caller.actor,
            created_at=self._world.now(),
        )
        event = new_audit_event(
            _operation(made, request_id), caller, "outcome", "ok", now=made.created_at
        )

        def change(tx: Tx) -> ControlNote:
            if compliance.count_notes(tx, org) >= MOST:
                raise ConflictError(
                    "notes_full",
                    f"there are {MOST} notes already: a retention rule for `notes` makes room",
                )
            compliance.add_note(tx, made)
            append_event(tx, event)
            return made

        return await self._store.write(change)

    async def list_notes(self, org: str) -> dict[tuple[str, str], tuple[NoteView, ...]]:
        """Notes by framework and control, without the documents."""
        return await self._store.read(lambda tx: compliance.notes_by_control(tx, org))

    async def get_note(self, org: str, note_id: str) -> ControlNote:
        """With its document. Raises `NotFoundError`."""
        found = await self._store.read(lambda tx: compliance.get_note(tx, org, note_id))
        if found is None:
            raise NotFoundError("not_found", "there is no such note")
        return found


def _operation(note: ControlNote, request_id: str) -> Operation:
    return Operation(
        name="control-notes.kept",
        request_id=request_id,
        credential=None,
        origin=Origin(),
        org=note.org,
        target=note.id,
        detail={
            "framework": note.framework,
            "control": note.control,
            "document": note.name,
            "digest": note.digest,
        },
    )
