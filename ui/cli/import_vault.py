"""`freehold import vault`: what a Vault or OpenBao server holds, copied to an agent.

Both are asked by the API that they share. What is there already is compared and left, so that a
copy that was cut short goes on when it is run again. Nothing is deleted, and no value is printed.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from ui.cli.client import ApiClient
from ui.cli.command_group import CommandGroup
from ui.cli.connection_settings import ConnectionSettings
from ui.cli.context import cli_context
from ui.cli.errors import CliError, Exit
from ui.cli.output import print_note
from ui.cli.progress import counted

app = CommandGroup("Copy what other secret stores hold.")

COPIED: Final = "copied"
WOULD: Final = "would be copied"
SAME: Final = "there already"
PARTLY: Final = "partly"
NOT: Final = "not copied"
MAX_DEPTH: Final = 32
_OURS: Final = frozenset({"default", "root", "response-wrapping", "control-group"})
_COLUMNS: Final = ("kind", "name", "result", "why")
_SETTINGS: Final = ("cas_required", "custom_metadata", "delete_version_after", "max_versions")
_METHODS: Final = frozenset({"approle"})


@dataclass
class Copy:
    """One run: both servers, what is looked at, and what came of it."""

    source: ApiClient
    target: ApiClient
    dry_run: bool
    results: list[dict[str, str]] = field(default_factory=list)
    entities: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)

    def note(self, kind: str, name: str, result: str, why: str = "") -> None:
        """What came of one thing."""
        self.results.append({"kind": kind, "name": name, "result": result, "why": why})

    def read(self, client: ApiClient, path: str, **query: Any) -> dict[str, Any] | None:
        """The `data` of a path; None where nothing is."""
        try:
            told = client.call("GET", _v1(path), query=query)
        except CliError as error:
            if error.exit_code is Exit.NOT_FOUND:
                return None
            raise
        found: dict[str, Any] = (told or {}).get("data") or {}
        return found

    def list_(self, client: ApiClient, path: str) -> list[str]:
        """The names in a folder."""
        return [str(key) for key in (self.read(client, path, list="true") or {}).get("keys") or ()]

    def write(self, path: str, body: object) -> dict[str, Any]:
        """Write to the agent; the `data` of the answer."""
        told = self.target.call("POST", _v1(path), body)
        found: dict[str, Any] = (told or {}).get("data") or {}
        return found


@app.command(
    "freehold import vault --addr https://vault.example.com --token-file vault-token --dry-run",
    "freehold import vault --addr https://vault.example.com --token-file vault-token",
    "freehold import vault --addr https://vault.example.com --token-file - --mount secret",
)
def vault(
    context: typer.Context,
    addr: Annotated[str, typer.Option(help="Address of the Vault or OpenBao server.")],
    token_file: Annotated[
        str, typer.Option(help="A file with its token, which may read all; -: from stdin.")
    ],
    ca_file: Annotated[str, typer.Option(help="PEM of its authority; else the system's.")] = "",
    mount: Annotated[
        list[str] | None, typer.Option(help="Only this mount of secrets; may be repeated.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
) -> None:
    """Copy secrets, policies, AppRoles, entities and groups of a Vault or OpenBao server.

    Secrets keep their versions and metadata, but not the times of their writing. Tokens, leases,
    secret-ids and passwords are not copied: nobody can read them. What does not map is in the
    result. Run it again to go on, or to copy what has changed meanwhile.
    """
    current = cli_context(context)
    token = (sys.stdin.read() if token_file == "-" else Path(token_file).read_text()).strip()
    settings = ConnectionSettings(addr.rstrip("/"), token, ca_file, "", "")
    copy = Copy(ApiClient(settings), current.client, dry_run)
    chosen = {each.strip("/") + "/" for each in mount or ()}
    mounts = copy.read(copy.source, "sys/mounts") or {}
    if unknown := sorted(chosen - mounts.keys()):
        raise CliError(f"{addr} has no mount {unknown[0]}", Exit.NOT_FOUND)
    if not chosen:
        _copy_policies(copy)
    for path, about in sorted(mounts.items()):
        if isinstance(about, dict) and "type" in about and (not chosen or path in chosen):
            _copy_mount(copy, path, about)
    if not chosen:
        _copy_auth_mounts(copy)
        _copy_entities(copy)
        _copy_groups(copy)
    current.print_result(copy.results, _COLUMNS)
    left = sum(each["result"] in {NOT, PARTLY} for each in copy.results)
    if left:
        print_note(f"{left} of {len(copy.results)} are not copied, or not wholly: see `why`")


def _copy_policies(copy: Copy) -> None:
    there = set(copy.list_(copy.target, "sys/policies/acl"))
    for name in copy.list_(copy.source, "sys/policies/acl"):
        if name in _OURS:
            continue
        text = (copy.read(copy.source, f"sys/policies/acl/{name}") or {}).get("policy", "")
        if name in there:
            own = (copy.read(copy.target, f"sys/policies/acl/{name}") or {}).get("policy")
            _note_existing(copy, "policy", name, is_same=own == text)
        elif _tried(copy, "policy", name, f"sys/policies/acl/{name}", {"policy": text}):
            copy.note("policy", name, COPIED)


def _copy_mount(copy: Copy, path: str, about: dict[str, Any]) -> None:
    if about["type"] in {"system", "cubbyhole", "identity"}:
        return
    if about["type"] not in {"kv", "generic"}:
        copy.note("mount", path, NOT, f"what an engine of type {about['type']} keeps is not read")
        return
    version = str((about.get("options") or {}).get("version") or "1")
    there = (copy.read(copy.target, "sys/mounts") or {}).get(path)
    if there is None:
        body = {
            "type": "kv",
            "description": about.get("description", ""),
            "options": {"version": version},
        }
        if not _tried(copy, "mount", path, f"sys/mounts/{path.strip('/')}", body):
            if not copy.dry_run:
                return
        else:
            copy.note("mount", path, COPIED)
    elif there.get("type") != "kv":  # a source that lies would write to the agent's own API
        copy.note("mount", path, NOT, "the agent has something else than secrets there")
        return
    elif str((there.get("options") or {}).get("version")) != version:
        copy.note("mount", path, NOT, "the agent has this mount with another version of KV")
        return
    take = _copy_versions if version == "2" else _copy_value
    tree = f"{path}metadata/" if version == "2" else path
    is_new = there is None and copy.dry_run
    for name in counted(_walk(copy, tree), f"Copying {path}"):
        if is_new:
            copy.note("secret", path + name, WOULD)
            continue
        try:
            take(copy, path, name)
        except CliError as error:
            copy.note("secret", path + name, NOT, "; ".join(error.lines))


def _walk(copy: Copy, tree: str) -> Iterator[str]:
    """The names of all secrets below a tree, a folder at a time."""
    folders = [""]
    while folders:
        folder = folders.pop()
        for key in copy.list_(copy.source, f"{tree}{folder}"):
            if not key.endswith("/"):
                yield folder + key
            elif folder.count("/") < MAX_DEPTH:
                folders.append(folder + key)
            else:
                copy.note("secret", tree + folder + key, NOT, "it lies in too many folders")


def _copy_value(copy: Copy, path: str, name: str) -> None:
    value = copy.read(copy.source, path + name)
    own = copy.read(copy.target, path + name)
    if own is not None:
        _note_existing(copy, "secret", path + name, is_same=own == value)
    elif copy.dry_run:
        copy.note("secret", path + name, WOULD)
    else:
        copy.write(path + name, value)
        copy.note("secret", path + name, COPIED)


def _copy_versions(copy: Copy, path: str, name: str) -> None:
    """The versions from the oldest on, and then the metadata.

    A version without a value is written without one and destroyed, so that numbers stay.
    """
    whole = copy.read(copy.source, f"{path}metadata/{name}") or {}
    oldest, last = max(int(whole.get("oldest_version") or 0), 1), int(whole["current_version"])
    shift = oldest - 1
    own = copy.read(copy.target, f"{path}metadata/{name}")
    done = 0 if own is None else int(own["current_version"])
    if done and not _is_same(copy, path, name, done + shift, done):
        copy.note("secret", path + name, NOT, "the agent has another value of this name")
        return
    if copy.dry_run:
        copy.note("secret", path + name, SAME if done + shift >= last else WOULD)
        return
    settings = {key: whole[key] for key in _SETTINGS if whole.get(key) is not None}
    kept = last - shift
    copy.write(
        f"{path}metadata/{name}",
        {"max_versions": max(kept, int(settings.get("max_versions") or 0))},
    )
    for number in range(done + 1, kept + 1):
        data = _value(copy, path, name, number + shift)
        copy.write(f"{path}data/{name}", {"data": data or {}, "options": {"cas": number - 1}})
        if data is None:
            copy.write(f"{path}destroy/{name}", {"versions": [number]})
    copy.write(f"{path}metadata/{name}", settings)
    why = f"older versions were gone: version {oldest} is version 1 here" if shift else ""
    copy.note("secret", path + name, SAME if done >= kept else COPIED, why)


def _value(copy: Copy, path: str, name: str, number: int) -> dict[str, Any] | None:
    """The value of a version of the source; None for one that was deleted or destroyed."""
    found = copy.read(copy.source, f"{path}data/{name}", version=number)
    return None if found is None else found.get("data")


def _is_same(copy: Copy, path: str, name: str, theirs: int, ours: int) -> bool:
    own = copy.read(copy.target, f"{path}data/{name}", version=ours)
    return _value(copy, path, name, theirs) == (None if own is None else own.get("data"))


def _copy_auth_mounts(copy: Copy) -> None:
    there = copy.read(copy.target, "sys/auth") or {}
    for path, about in sorted((copy.read(copy.source, "sys/auth") or {}).items()):
        if not isinstance(about, dict) or about.get("type") in {None, "token"}:
            continue
        if about["type"] not in _METHODS:
            why = f"configure it anew: what is secret of {about['type']} cannot be read"
            copy.note("auth mount", path, NOT, why)
            continue
        if path not in there and not _tried(
            copy, "auth mount", path, f"sys/auth/{path.strip('/')}",
            {"type": about["type"], "description": about.get("description", "")},
        ):  # fmt: skip
            continue
        copy.note("auth mount", path, SAME if path in there else COPIED)
        for role in copy.list_(copy.source, f"auth/{path}role"):
            _copy_app_role(copy, path, role)


def _copy_app_role(copy: Copy, path: str, role: str) -> None:
    at = f"auth/{path}role/{role}"
    document = {k: v for k, v in (copy.read(copy.source, at) or {}).items() if v is not None}
    role_id = (copy.read(copy.source, f"{at}/role-id") or {}).get("role_id", "")
    own = copy.read(copy.target, at)
    if own is not None:
        own_id = (copy.read(copy.target, f"{at}/role-id") or {}).get("role_id")
        _note_existing(copy, "AppRole", path + role, is_same=own_id == role_id)
        return
    if not _tried(copy, "AppRole", path + role, at, document):
        return
    copy.write(f"{at}/role-id", {"role_id": role_id})
    copy.note("AppRole", path + role, PARTLY, "its secret-ids cannot be read: generate new ones")


def _copy_entities(copy: Copy) -> None:
    accessors = _accessors(copy)
    for entity_id in copy.list_(copy.source, "identity/entity/id"):
        entity = copy.read(copy.source, f"identity/entity/id/{entity_id}") or {}
        name = str(entity.get("name", ""))
        own = copy.read(copy.target, f"identity/entity/name/{name}")
        if own is not None:
            copy.entities[entity_id] = str(own["id"])
            copy.note("entity", name, SAME)
            continue
        body = {key: entity.get(key) for key in ("name", "metadata", "policies", "disabled")}
        if not _tried(copy, "entity", name, "identity/entity", body):
            continue
        made = (copy.read(copy.target, f"identity/entity/name/{name}") or {}).get("id", "")
        copy.entities[entity_id] = made
        left = [
            alias["name"]
            for alias in entity.get("aliases") or ()
            if not _copy_alias(copy, made, alias, accessors)
        ]
        why = (
            f"aliases of auth mounts that the agent does not have: {', '.join(left)}"
            if left
            else ""
        )
        copy.note("entity", name, PARTLY if left else COPIED, why)


def _copy_alias(copy: Copy, entity: str, alias: dict[str, Any], accessors: dict[str, str]) -> bool:
    accessor = accessors.get(str(alias.get("mount_accessor")))
    if accessor is None:
        return False
    body = {"name": alias["name"], "canonical_id": entity, "mount_accessor": accessor}
    try:
        copy.write("identity/entity-alias", body)
    except CliError:
        return False
    return True


def _copy_groups(copy: Copy) -> None:
    """Groups without members first, so that one that holds others finds them."""
    ids = copy.list_(copy.source, "identity/group/id")
    groups = {one: copy.read(copy.source, f"identity/group/id/{one}") or {} for one in ids}
    for group_id, group in sorted(groups.items(), key=lambda item: _height(item[0], groups)):
        name = str(group.get("name", ""))
        own = copy.read(copy.target, f"identity/group/name/{name}")
        if own is not None:
            copy.groups[group_id] = str(own["id"])
            copy.note("group", name, SAME)
            continue
        body = {key: group.get(key) for key in ("name", "type", "metadata", "policies")}
        if group.get("type") != "external":
            members = group.get("member_entity_ids") or ()
            body["member_entity_ids"] = [m for e in members if (m := copy.entities.get(e))]
        inner = group.get("member_group_ids") or ()
        body["member_group_ids"] = [m for g in inner if (m := copy.groups.get(g))]
        if not _tried(copy, "group", name, "identity/group", body):
            continue
        made = copy.read(copy.target, f"identity/group/name/{name}") or {}
        copy.groups[group_id] = str(made.get("id", ""))
        why = "its alias at the source is to be written anew" if group.get("alias") else ""
        copy.note("group", name, PARTLY if why else COPIED, why)


def _height(group_id: str, groups: dict[str, dict[str, Any]], depth: int = 0) -> int:
    """How many groups lie one within the other, at most."""
    inner = groups.get(group_id, {}).get("member_group_ids") or ()
    if depth >= MAX_DEPTH:
        return depth
    return max((1 + _height(each, groups, depth + 1) for each in inner), default=0)


def _accessors(copy: Copy) -> dict[str, str]:
    """The agent's accessors by the source's, of auth mounts that both have."""
    theirs, ours = (copy.read(client, "sys/auth") or {} for client in (copy.source, copy.target))
    return {
        str(about["accessor"]): str(ours[path]["accessor"])
        for path, about in theirs.items()
        if isinstance(about, dict)
        and isinstance(ours.get(path), dict)
        and ours[path].get("type") == about.get("type")
    }


def _tried(copy: Copy, kind: str, name: str, path: str, body: object) -> bool:
    """Write, unless it is a dry run; False, with a note, where nothing was written."""
    if copy.dry_run:
        copy.note(kind, name, WOULD)
        return False
    try:
        copy.write(path, body)
    except CliError as error:
        copy.note(kind, name, NOT, "; ".join(error.lines))
        return False
    return True


def _note_existing(copy: Copy, kind: str, name: str, *, is_same: bool) -> None:
    if is_same:
        copy.note(kind, name, SAME)
    else:
        copy.note(kind, name, NOT, "the agent has another one of this name")


def _v1(path: str) -> str:
    return "/v1/" + quote(path, safe="/")
