"""`identity/`: entities, groups, their aliases, and looking them up."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from protocols.instant import rfc3339
from vault import operations
from vault.authn.entities import AliasChange, EntityChange, EntityView
from vault.authn.groups import GroupChange, GroupView
from vault.edge.compat.envelope import NO_CONTENT_REPLY, data_reply
from vault.edge.compat.fields import Fields
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import NotFoundError, ValidationError
from vault.model.operation import OperationType, R
from vault.model.path import ResourcePath
from vault.model.payloads import (
    DeleteEntities,
    FindIdentity,
    ListIdentities,
    MergeEntities,
    Nothing,
    WriteGroupAlias,
)
from vault.model.records import EntityAliasRow, GroupAliasRow, RecordStatus
from vault.model.results import EntityWritten, GroupWritten

routes: Final = Router()

_ENTITIES: Final = "sys/entities"
_ALIASES: Final = "sys/aliases"
_GROUPS: Final = "sys/groups"
_GROUP_ALIASES: Final = "sys/group-aliases"
_NAMESPACE: Final = "root"


@routes.add("POST", template="identity/entity")
async def write_entity(dialect: Dialect, request: Request) -> Reply:
    """Make an entity, or change the one of the id or name."""
    fields = Fields.from_body(request)
    return await _write_entity(dialect, request, fields, fields.text("id"))


@routes.add("POST", template="identity/entity/id/{id}")
async def write_entity_by_id(dialect: Dialect, request: Request, entity_id: str) -> Reply:
    """Change an entity."""
    return await _write_entity(dialect, request, Fields.from_body(request), entity_id)


@routes.add("POST", template="identity/entity/name/{name}")
async def write_entity_by_name(dialect: Dialect, request: Request, name: str) -> Reply:
    """Make an entity of this name, or change it."""
    fields, place = Fields.from_body(request), _at(_ENTITIES, f"name/{name}")
    change = _entity_change(fields, name="")
    return await _entity_written(dialect, request, place, change)


@routes.add("GET", template="identity/entity/id/{id}")
async def read_entity(dialect: Dialect, request: Request, entity_id: str) -> Reply:
    """One entity, with its aliases and groups."""
    return await _read_entity(dialect, request, entity_id)


@routes.add("GET", template="identity/entity/name/{name}")
async def read_entity_by_name(dialect: Dialect, request: Request, name: str) -> Reply:
    """One entity, by its name in any case."""
    return await _read_entity(dialect, request, f"name/{name}")


@routes.add("DELETE", template="identity/entity/id/{id}")
async def delete_entity(dialect: Dialect, request: Request, entity_id: str) -> Reply:
    """Delete an entity; one that is not there is no error."""
    return await _delete(dialect, request, operations.DELETE_ENTITY, _at(_ENTITIES, entity_id))


@routes.add("DELETE", template="identity/entity/name/{name}")
async def delete_entity_by_name(dialect: Dialect, request: Request, name: str) -> Reply:
    """As by id."""
    place = _at(_ENTITIES, f"name/{name}")
    return await _delete(dialect, request, operations.DELETE_ENTITY, place)


@routes.add("POST", template="identity/entity/batch-delete")
async def delete_entities(dialect: Dialect, request: Request) -> Reply:
    """Delete some entities; unknown ids are left out."""
    ids = Fields.from_body(request).texts("entity_ids")
    if not ids:
        raise ValidationError("ids_missing", "missing entity ids to delete", field="entity_ids")
    place = _at(_ENTITIES, "batch-delete")
    await dialect.run_operation(request, operations.DELETE_ENTITIES, place, DeleteEntities(ids=ids))
    return NO_CONTENT_REPLY


@routes.add("POST", template="identity/entity/merge")
async def merge_entities(dialect: Dialect, request: Request) -> Reply:
    """Make some entities one with another."""
    fields = Fields.from_body(request)
    taken, into = fields.texts("from_entity_ids"), fields.text("to_entity_id")
    if not taken:
        raise ValidationError("merge_invalid", "missing entity ids to merge from")
    if not into:
        raise ValidationError("merge_invalid", "missing entity id to merge to")
    wanted = MergeEntities(
        into=into, taken=taken, keep=fields.texts("conflicting_alias_ids_to_keep")
    )
    place = _at(_ENTITIES, "merge")
    await dialect.run_operation(request, operations.MERGE_ENTITIES, place, wanted)
    return NO_CONTENT_REPLY


@routes.add("LIST", "GET", template="identity/entity/id")
async def list_entities(dialect: Dialect, request: Request) -> Reply:
    """All ids, with names and aliases."""
    found = await _list(dialect, request, operations.LIST_ENTITIES, _ENTITIES)
    info = {view.row.id: _listed_entity(view) for view in found}
    return _keys_reply(request, list(info), info)


@routes.add("LIST", "GET", template="identity/entity/name")
async def list_entity_names(dialect: Dialect, request: Request) -> Reply:
    """All names."""
    found = await _list(dialect, request, operations.LIST_ENTITIES, _ENTITIES)
    return _keys_reply(request, [view.row.username for view in found])


@routes.add("POST", template="identity/lookup/entity")
async def look_up_entity(dialect: Dialect, request: Request) -> Reply:
    """The entity of an id, a name, an alias id, or an alias name at a mount; or nothing."""
    wanted = _query(Fields.from_body(request))
    place = _at(_ENTITIES, "lookup")
    found = await dialect.run_operation(request, operations.FIND_ENTITY, place, wanted)
    return NO_CONTENT_REPLY if found is None else data_reply(request, _entity(found))


@routes.add("POST", template="identity/entity-alias")
@routes.add("POST", template="identity/alias")
async def write_alias(dialect: Dialect, request: Request) -> Reply:
    """Make an alias, or change the one of the id, or of the mount and name."""
    fields = Fields.from_body(request)
    return await _write_alias(dialect, request, fields, fields.text("id"))


@routes.add("POST", template="identity/entity-alias/id/{id}")
@routes.add("POST", template="identity/alias/id/{id}")
async def write_alias_by_id(dialect: Dialect, request: Request, alias_id: str) -> Reply:
    """Change an alias."""
    return await _write_alias(dialect, request, Fields.from_body(request), alias_id)


@routes.add("GET", template="identity/entity-alias/id/{id}")
@routes.add("GET", template="identity/alias/id/{id}")
async def read_alias(dialect: Dialect, request: Request, alias_id: str) -> Reply:
    """One alias."""
    place = _at(_ALIASES, alias_id)
    row = await dialect.run_operation(request, operations.READ_ALIAS, place, Nothing())
    return data_reply(request, {**_alias(row), "namespace_id": _NAMESPACE})


@routes.add("DELETE", template="identity/entity-alias/id/{id}")
@routes.add("DELETE", template="identity/alias/id/{id}")
async def delete_alias(dialect: Dialect, request: Request, alias_id: str) -> Reply:
    """Delete an alias; one that is not there is no error."""
    return await _delete(dialect, request, operations.DELETE_ALIAS, _at(_ALIASES, alias_id))


@routes.add("LIST", "GET", template="identity/entity-alias/id")
@routes.add("LIST", "GET", template="identity/alias/id")
async def list_aliases(dialect: Dialect, request: Request) -> Reply:
    """All ids, with what each alias is."""
    rows = await _list(dialect, request, operations.LIST_ALIASES, _ALIASES)
    info = {row.id: _listed_alias(row) for row in sorted(rows, key=lambda row: row.id)}
    return _keys_reply(request, list(info), info)


@routes.add("POST", template="identity/group")
async def write_group(dialect: Dialect, request: Request) -> Reply:
    """Make a group, or change the one of the id or name."""
    fields = Fields.from_body(request)
    return await _write_group(dialect, request, fields, fields.text("id"))


@routes.add("POST", template="identity/group/id/{id}")
async def write_group_by_id(dialect: Dialect, request: Request, group_id: str) -> Reply:
    """Change a group."""
    return await _write_group(dialect, request, Fields.from_body(request), group_id)


@routes.add("POST", template="identity/group/name/{name}")
async def write_group_by_name(dialect: Dialect, request: Request, name: str) -> Reply:
    """Make a group of this name, or change it."""
    change = _group_change(Fields.from_body(request), name="")
    return await _group_written(dialect, request, _at(_GROUPS, f"name/{name}"), change)


@routes.add("GET", template="identity/group/id/{id}")
async def read_group(dialect: Dialect, request: Request, group_id: str) -> Reply:
    """One group, with its members."""
    return await _read_group(dialect, request, group_id)


@routes.add("GET", template="identity/group/name/{name}")
async def read_group_by_name(dialect: Dialect, request: Request, name: str) -> Reply:
    """One group, by its name in any case."""
    return await _read_group(dialect, request, f"name/{name}")


@routes.add("DELETE", template="identity/group/id/{id}")
async def delete_group(dialect: Dialect, request: Request, group_id: str) -> Reply:
    """Delete a group; one that is not there is no error."""
    return await _delete(dialect, request, operations.DELETE_GROUP, _at(_GROUPS, group_id))


@routes.add("DELETE", template="identity/group/name/{name}")
async def delete_group_by_name(dialect: Dialect, request: Request, name: str) -> Reply:
    """As by id."""
    place = _at(_GROUPS, f"name/{name}")
    return await _delete(dialect, request, operations.DELETE_GROUP, place)


@routes.add("LIST", "GET", template="identity/group/id")
async def list_groups(dialect: Dialect, request: Request) -> Reply:
    """All ids, with names and how many are in each."""
    found = await _list(dialect, request, operations.LIST_GROUPS, _GROUPS)
    info = {
        each.row.id: {
            **({"alias": _short_alias(each.alias)} if each.alias else {}),
            "name": each.row.name,
            "num_member_entities": each.members,
            "num_parent_groups": len(each.row.parents),
        }
        for each in found
    }
    return _keys_reply(request, list(info), info)


@routes.add("LIST", "GET", template="identity/group/name")
async def list_group_names(dialect: Dialect, request: Request) -> Reply:
    """All names."""
    found = await _list(dialect, request, operations.LIST_GROUPS, _GROUPS)
    return _keys_reply(request, [each.row.name for each in found])


@routes.add("POST", template="identity/lookup/group")
async def look_up_group(dialect: Dialect, request: Request) -> Reply:
    """The group of an id, a name, an alias id, or an alias name at a mount; or nothing."""
    wanted = _query(Fields.from_body(request))
    place = _at(_GROUPS, "lookup")
    found = await dialect.run_operation(request, operations.FIND_GROUP, place, wanted)
    return NO_CONTENT_REPLY if found is None else data_reply(request, _group(found))


@routes.add("POST", template="identity/group-alias")
async def write_group_alias(dialect: Dialect, request: Request) -> Reply:
    """Name an external group as its source does, or change the alias of the id."""
    fields = Fields.from_body(request)
    return await _write_group_alias(dialect, request, fields, fields.text("id"))


@routes.add("POST", template="identity/group-alias/id/{id}")
async def write_group_alias_by_id(dialect: Dialect, request: Request, alias_id: str) -> Reply:
    """Change an alias of a group."""
    return await _write_group_alias(dialect, request, Fields.from_body(request), alias_id)


@routes.add("GET", template="identity/group-alias/id/{id}")
async def read_group_alias(dialect: Dialect, request: Request, alias_id: str) -> Reply:
    """One alias of a group."""
    place = _at(_GROUP_ALIASES, alias_id)
    row = await dialect.run_operation(request, operations.READ_GROUP_ALIAS, place, Nothing())
    common = {"custom_metadata": None, "local": False, "namespace_id": _NAMESPACE}
    return data_reply(request, {**_group_alias(row), **common})


@routes.add("DELETE", template="identity/group-alias/id/{id}")
async def delete_group_alias(dialect: Dialect, request: Request, alias_id: str) -> Reply:
    """Delete an alias of a group; one that is not there is no error."""
    place = _at(_GROUP_ALIASES, alias_id)
    return await _delete(dialect, request, operations.DELETE_GROUP_ALIAS, place)


@routes.add("LIST", "GET", template="identity/group-alias/id")
async def list_group_aliases(dialect: Dialect, request: Request) -> Reply:
    """All ids, with what each alias is."""
    rows = await _list(dialect, request, operations.LIST_GROUP_ALIASES, _GROUP_ALIASES)
    info: dict[str, Any] = {
        row.id: {
            "canonical_id": row.group_id,
            "custom_metadata": None,
            "local": False,
            "metadata": None,
            **_mount(row),
            "name": row.name,
        }
        for row in sorted(rows, key=lambda row: row.id)
    }
    return _keys_reply(request, list(info), info)


async def _write_entity(
    dialect: Dialect, request: Request, fields: Fields, entity_id: str
) -> Reply:
    place = _at(_ENTITIES, entity_id) if entity_id else _folder(_ENTITIES)
    change = _entity_change(fields, fields.text("name"))
    return await _entity_written(dialect, request, place, change)


async def _entity_written(
    dialect: Dialect, request: Request, place: ResourcePath, change: EntityChange
) -> Reply:
    try:
        written: EntityWritten = await dialect.run_operation(
            request, operations.WRITE_ENTITY, place, change
        )
    except NotFoundError as error:
        raise ValidationError("entity_unknown", error.message, field="id") from None
    if not written.is_new:
        return NO_CONTENT_REPLY
    row = written.row
    return data_reply(request, {"aliases": None, "id": row.id, "name": row.username})


def _entity_change(fields: Fields, name: str) -> EntityChange:
    return EntityChange(
        name=name or None,
        policies=_texts(fields, "policies"),
        metadata=_pairs(fields, "metadata"),
        disabled=fields.boolean("disabled"),
    )


async def _write_alias(dialect: Dialect, request: Request, fields: Fields, alias_id: str) -> Reply:
    name, accessor = fields.text("name"), fields.text("mount_accessor")
    if not alias_id and not (name and accessor):
        raise ValidationError(
            "alias_unnamed", "'id' or 'mount_accessor' and 'name' must be provided"
        )
    change = AliasChange(
        name=name,
        accessor=accessor,
        entity_id=fields.text("canonical_id") or fields.text("entity_id"),
        custom_metadata=_pairs(fields, "custom_metadata"),
    )
    place = _at(_ALIASES, alias_id) if alias_id else _folder(_ALIASES)
    with _in_words_of_openbao(accessor):
        written = await dialect.run_operation(request, operations.WRITE_ALIAS, place, change)
    if not written.is_changed:
        return NO_CONTENT_REPLY
    row = written.row
    return data_reply(request, {"canonical_id": row.entity_id, "id": row.id})


async def _write_group(dialect: Dialect, request: Request, fields: Fields, group_id: str) -> Reply:
    place = _at(_GROUPS, group_id) if group_id else _folder(_GROUPS)
    change = _group_change(fields, fields.text("name"))
    return await _group_written(dialect, request, place, change)


async def _group_written(
    dialect: Dialect, request: Request, place: ResourcePath, change: GroupChange
) -> Reply:
    try:
        with _in_words_of_openbao(change.kind or ""):
            written: GroupWritten = await dialect.run_operation(
                request, operations.WRITE_GROUP, place, change
            )
    except NotFoundError:
        raise ValidationError("group_unknown", "invalid group ID", field="id") from None
    if not written.is_new:
        return NO_CONTENT_REPLY
    return data_reply(request, {"id": written.row.id, "name": written.row.name})


def _group_change(fields: Fields, name: str) -> GroupChange:
    return GroupChange(
        name=name or None,
        kind=fields.text("type") or None,
        policies=_texts(fields, "policies"),
        metadata=_pairs(fields, "metadata"),
        members=_texts(fields, "member_entity_ids"),
        children=_texts(fields, "member_group_ids"),
    )


async def _write_group_alias(
    dialect: Dialect, request: Request, fields: Fields, alias_id: str
) -> Reply:
    wanted = WriteGroupAlias(
        name=fields.text("name"),
        accessor=fields.text("mount_accessor"),
        group_id=fields.text("canonical_id"),
    )
    if not alias_id and not wanted.name:
        raise ValidationError("alias_unnamed", "missing alias name", field="name")
    if not alias_id and not wanted.accessor:
        raise ValidationError("accessor_missing", "missing mount_accessor", field="mount_accessor")
    place = _at(_GROUP_ALIASES, alias_id) if alias_id else _folder(_GROUP_ALIASES)
    with _in_words_of_openbao(wanted.accessor):
        written = await dialect.run_operation(request, operations.WRITE_GROUP_ALIAS, place, wanted)
    row = written.row
    return data_reply(request, {"canonical_id": row.group_id, "id": row.id})


async def _read_entity(dialect: Dialect, request: Request, name: str) -> Reply:
    place = _at(_ENTITIES, name)
    found = await dialect.run_operation(request, operations.READ_ENTITY, place, Nothing())
    return data_reply(request, _entity(found))


async def _read_group(dialect: Dialect, request: Request, name: str) -> Reply:
    place = _at(_GROUPS, name)
    found = await dialect.run_operation(request, operations.READ_GROUP, place, Nothing())
    return data_reply(request, _group(found))


_WORDS: Final = {
    "accessor_unknown": 'invalid mount accessor "{}"',
    "group_kind_invalid": 'invalid group type "{}"',
}


@contextmanager
def _in_words_of_openbao(sent: str) -> Iterator[None]:
    """Errors that name what was sent, as OpenBao's do. A JSON answer is no page."""
    try:
        yield
    except ValidationError as error:
        if error.code not in _WORDS:
            raise
        raise ValidationError(error.code, _WORDS[error.code].format(sent)) from None


async def _delete(
    dialect: Dialect, request: Request, operation: OperationType[Nothing, R], place: ResourcePath
) -> Reply:
    with suppress(NotFoundError):
        await dialect.run_operation(request, operation, place, Nothing())
    return NO_CONTENT_REPLY


async def _list(
    dialect: Dialect,
    request: Request,
    operation: OperationType[ListIdentities, list[R]],
    resource: str,
) -> list[R]:
    return await dialect.run_operation(request, operation, _folder(resource), ListIdentities())


def _keys_reply(request: Request, keys: list[str], info: dict[str, Any] | None = None) -> Reply:
    """A list; none at all is how clients learn of an empty one."""
    if not keys:
        raise NotFoundError("empty_list", "there is nothing to list")
    return data_reply(request, {"keys": keys} if info is None else {"key_info": info, "keys": keys})


def _query(fields: Fields) -> FindIdentity:
    """What is looked for: one of the four ways. Raises `ValidationError`."""
    wanted = FindIdentity(
        id=fields.text("id"),
        name=fields.text("name"),
        alias_id=fields.text("alias_id"),
        alias_name=fields.text("alias_name"),
        alias_accessor=fields.text("alias_mount_accessor"),
    )
    if bool(wanted.alias_name) is not bool(wanted.alias_accessor):
        raise ValidationError(
            "query_invalid", "both 'alias_name' and 'alias_mount_accessor' needs to be set"
        )
    ways = sum(map(bool, (wanted.id, wanted.name, wanted.alias_id, wanted.alias_name)))
    if not ways:
        raise ValidationError("query_missing", "query parameter not supplied")
    if ways > 1:
        raise ValidationError(
            "query_invalid",
            "query parameter conflict; please supply distinct set of query parameters",
        )
    return wanted


def _entity(view: EntityView) -> dict[str, Any]:
    row = view.row
    own, above = [group.id for group in view.groups], [group.id for group in view.inherited]
    return {
        "aliases": [_alias(alias) for alias in view.aliases],
        "creation_time": rfc3339(row.created_at),
        "direct_group_ids": own,
        "disabled": row.status != RecordStatus.ACTIVE,
        "group_ids": own + above,
        "id": row.id,
        "inherited_group_ids": above,
        "last_update_time": rfc3339(row.updated_at),
        "merged_entity_ids": row.merged_from or None,
        "metadata": row.metadata or None,
        "name": row.username,
        "namespace_id": _NAMESPACE,
        "policies": row.policies,
    }


def _listed_entity(view: EntityView) -> dict[str, Any]:
    """In a list: `aliases` only where there are some."""
    aliases = [_short_alias(alias) for alias in view.aliases]
    return {**({"aliases": aliases} if aliases else {}), "name": view.row.username}


def _short_alias(row: EntityAliasRow | GroupAliasRow) -> dict[str, str]:
    return {"id": row.id, **_mount(row), "name": row.name}


def _mount(row: EntityAliasRow | GroupAliasRow) -> dict[str, str]:
    return {
        "mount_accessor": row.mount_accessor,
        "mount_path": row.mount_path,
        "mount_type": row.mount_type,
    }


def _alias(row: EntityAliasRow) -> dict[str, Any]:
    return {
        "canonical_id": row.entity_id,
        "creation_time": rfc3339(row.created_at),
        "custom_metadata": row.custom_metadata,
        "id": row.id,
        "last_update_time": rfc3339(row.updated_at),
        "local": False,
        "merged_from_canonical_ids": row.merged_from or None,
        "metadata": row.metadata or None,
        **_mount(row),
        "name": row.name,
    }


def _listed_alias(row: EntityAliasRow) -> dict[str, Any]:
    return {
        "canonical_id": row.entity_id,
        "custom_metadata": row.custom_metadata,
        "local": False,
        "metadata": row.metadata or None,
        **_mount(row),
        "name": row.name,
    }


def _group(view: GroupView) -> dict[str, Any]:
    row = view.row
    return {
        "alias": {} if view.alias is None else _group_alias(view.alias),
        "creation_time": rfc3339(row.created_at),
        "id": row.id,
        "last_update_time": rfc3339(row.updated_at),
        "member_entity_ids": list(view.members) or None,
        "member_group_ids": row.children or None,
        "metadata": row.metadata or None,
        "modify_index": row.modify_index,
        "name": row.name,
        "namespace_id": _NAMESPACE,
        "parent_group_ids": row.parents or None,
        "policies": row.policies or None,
        "type": row.kind,
    }


def _group_alias(row: GroupAliasRow) -> dict[str, Any]:
    return {
        "canonical_id": row.group_id,
        "creation_time": rfc3339(row.created_at),
        "id": row.id,
        "last_update_time": rfc3339(row.updated_at),
        "merged_from_canonical_ids": None,
        "metadata": None,
        **_mount(row),
        "name": row.name,
    }


def _texts(fields: Fields, name: str) -> tuple[str, ...] | None:
    return fields.texts(name) if name in fields else None


def _pairs(fields: Fields, name: str) -> dict[str, str] | None:
    """A map of texts, or a list of `key=value`."""
    if name not in fields:
        return None
    value = fields.value(name)
    if isinstance(value, dict) or value is None:
        return fields.text_map(name) or {}
    return dict(_pair(text, i, name) for i, text in enumerate(fields.texts(name)))


def _pair(text: str, place: int, name: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise ValidationError(
            "field_invalid",
            f'Field validation failed: error converting input for field "{name}": '
            f'invalid key pair at index {place} in field "{name}"',
            field=name,
        )
    return key, value


def _at(resource: str, name: str) -> ResourcePath:
    return ResourcePath.parse(f"{resource}/{name}")


def _folder(resource: str) -> ResourcePath:
    return ResourcePath.parse_folder(resource)
