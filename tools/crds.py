"""Writes the CustomResourceDefinitions of the operator from the types that read the resources.

    .venv/bin/python -m tools.crds

A test says when they are not what this makes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from kube_operator.agent_spec import AgentSpec
from kube_operator.objects import AGENTS, GROUP, POLICIES, SECRETS, VERSION, Resource
from kube_operator.specs import PolicySpec, SecretSpec

FOLDER: Final = Path(__file__).parents[1] / "deploy/helm/freehold-operator/crds"
HEAD: Final = "# Made by `python -m tools.crds` of kube_operator: do not edit.\n"

Schema = dict[str, Any]

_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "format": "int64"}
_VERSION: Final = {
    "type": "object",
    "required": ["path", "version"],
    "properties": {"path": _TEXT, "version": _COUNT},
}
_CONDITION: Final = {
    "type": "object",
    "required": ["type", "status", "reason", "lastTransitionTime"],
    "properties": {
        "type": _TEXT,
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "reason": _TEXT,
        "message": _TEXT,
        "observedGeneration": _COUNT,
        "lastTransitionTime": {"type": "string", "format": "date-time"},
    },
}
_TIME: Final = {"type": "string", "format": "date-time"}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


STATUS: Final[Mapping[str, Schema]] = {
    AGENTS.kind: {
        "replicas": _COUNT,
        "readyReplicas": _COUNT,
        "version": _TEXT,
        "pods": _list(_object(name=_TEXT, state=_TEXT)),
    },
    SECRETS.kind: {
        "secretName": _TEXT,
        "secretUid": _TEXT,
        "secrets": _list(_VERSION),
        "acknowledged": _list(_VERSION),
        "workloads": _list(_object(kind=_TEXT, name=_TEXT, state=_TEXT)),
        "syncedAt": _TIME,
        "verifiedAt": _TIME,
    },
    POLICIES.kind: {
        "policyName": _TEXT,
        "version": _COUNT,
        "mended": _COUNT,
        "appliedAt": _TIME,
        "verifiedAt": _TIME,
    },
}
_CONDITION_COLUMN: Final = '.status.conditions[?(@.type=="{}")].status'
COLUMNS: Final[Mapping[str, list[tuple[str, str, str]]]] = {
    AGENTS.kind: [
        ("Ready", "string", _CONDITION_COLUMN.format("Ready")),
        ("Sealed", "string", _CONDITION_COLUMN.format("Sealed")),
        ("Version", "string", ".status.version"),
    ],
    SECRETS.kind: [
        ("Ready", "string", _CONDITION_COLUMN.format("Ready")),
        ("Stale", "string", _CONDITION_COLUMN.format("Stale")),
        ("Adopted", "string", _CONDITION_COLUMN.format("Adopted")),
        ("Synced", "date", ".status.syncedAt"),
    ],
    POLICIES.kind: [
        ("Ready", "string", _CONDITION_COLUMN.format("Ready")),
        ("Policy", "string", ".status.policyName"),
    ],
}
SPECS: Final[Mapping[Resource, type[msgspec.Struct]]] = {
    AGENTS: AgentSpec,
    SECRETS: SecretSpec,
    POLICIES: PolicySpec,
}
_KEPT: Final = (
    "type", "pattern", "enum", "minimum", "maximum", "minLength", "maxLength", "maxItems",
    "description", "required",
)  # fmt: skip


class _Plain(yaml.SafeDumper):
    """Each part written out, without anchors."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def definitions() -> dict[str, str]:
    """The text of each file by its name."""
    return {
        f"{resource.plural}.yaml": HEAD
        + yaml.dump(_definition(resource), Dumper=_Plain, sort_keys=False, width=120)
        for resource in SPECS
    }


def _definition(resource: Resource) -> Schema:
    schema = msgspec.json.schema(SPECS[resource])
    spec = _structural(schema, schema.get("$defs", {}))
    status = _object(
        **STATUS[resource.kind],
        observedGeneration=_COUNT,
        conditions={
            **_list(_CONDITION),
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path}
            for name, kind, path in COLUMNS[resource.kind]
        ],
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "required": ["spec"],
                "properties": {
                    "apiVersion": _TEXT,
                    "kind": _TEXT,
                    "metadata": {"type": "object"},
                    "spec": spec,
                    "status": status,
                },
            }
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "categories": ["freehold"],
            },
            "versions": [version],
        },
    }


def _structural(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Without references and unions, which structural schemas do not have."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].rpartition("/")[2]]
        return _structural(target, definitions)
    if "anyOf" in schema:
        some = [each for each in schema["anyOf"] if each.get("type") != "null"]
        if len(some) > 1:  # a number or text, such as 1 or 50%
            return {"x-kubernetes-int-or-string": True}
        return _structural(some[0], definitions)
    if not schema.keys() - {"description", "default"}:
        return {"x-kubernetes-preserve-unknown-fields": True}
    found = {name: schema[name] for name in _KEPT if schema.get(name)}
    if "description" in found:
        found["description"] = " ".join(found["description"].split())
    if "enum" in found:
        found["type"] = "string"
    if "items" in schema:
        found["items"] = _structural(schema["items"], definitions)
    if schema.get("type") == "object":
        found |= _properties(schema, definitions)
    return found


def _properties(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    if "properties" in schema:
        items = schema["properties"].items()
        return {"properties": {name: _structural(each, definitions) for name, each in items}}
    others = schema.get("additionalProperties")
    if isinstance(others, dict) and others:
        return {"additionalProperties": _structural(others, definitions)}
    return {"x-kubernetes-preserve-unknown-fields": True}


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in definitions().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
