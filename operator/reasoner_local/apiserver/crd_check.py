"""Validation of a CustomResourceDefinition: what a real API server would refuse, with the path of the fault."""

from collections.abc import Iterator

from .errors import FieldProblem, bad_value, forbidden_field, not_supported, required
from .json_path import BadPath, compile_path
from .objects import Obj, meta
from .schema_structure import structural_problems

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("int32", "int64", "float", "double", "byte", "date", "date-time", "password")
_SCOPES = ("Cluster", "Namespaced")


def _name_problems(crd: Obj) -> Iterator[FieldProblem]:
    spec, names = crd["spec"], crd["spec"]["names"]
    for name in ("plural", "kind"):
        if not names.get(name):
            yield required(f"spec.names.{name}")
    if not spec.get("group"):
        yield required("spec.group")
    elif "." not in spec["group"]:
        yield bad_value("spec.group", spec["group"], "should be a domain with at least one dot")
    if spec.get("scope") not in _SCOPES:
        if not spec.get("scope"):
            yield required("spec.scope")
        yield not_supported("spec.scope", spec.get("scope", ""), _SCOPES)
    if meta(crd).get("name") != f"{names.get('plural', '')}.{spec.get('group', '')}":
        yield bad_value("metadata.name", meta(crd).get("name"), 'must be spec.names.plural+"."+spec.group')
    for index, name in enumerate([names.get("singular", "x"), *(names.get("shortNames") or [])]):
        if not name.isidentifier() and not name.replace("-", "").isalnum():
            yield bad_value(f"spec.names.shortNames[{index - 1}]", name, "a DNS-1035 label must consist of lower case")


def _column_problems(column: Obj, field: str) -> Iterator[FieldProblem]:
    for name in ("name", "type", "jsonPath"):
        if not column.get(name):
            yield required(f"{field}.{name}")
    if column.get("type") and column["type"] not in _COLUMN_TYPES:
        why = f"must be one of {','.join(_COLUMN_TYPES)}"
        yield bad_value(f"{field}.type", column["type"], why)
    if column.get("format") and column["format"] not in _COLUMN_FORMATS:
        why = f"must be one of {','.join(_COLUMN_FORMATS)}"
        yield bad_value(f"{field}.format", column["format"], why)
    path = column.get("jsonPath", "")
    try:
        compile_path(path)
    except BadPath as error:
        yield bad_value(f"{field}.jsonPath", path, f"unable to parse jsonpath: {error}")
    if path and not path.startswith("."):
        yield bad_value(f"{field}.jsonPath", path, "must be a simple json path starting with .")


def _scale_problems(scale: Obj, field: str) -> Iterator[FieldProblem]:
    for name, start in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        path = scale.get(name)
        if not path:
            yield required(f"{field}.{name}")
        elif not path.startswith(start):
            yield bad_value(f"{field}.{name}", path, f"should be a json path under {start[:-1]}")


def _version_problems(crd: Obj) -> Iterator[FieldProblem]:
    versions = crd["spec"].get("versions") or []
    single = len(versions) == 1
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield bad_value("spec.versions", versions, "must have exactly one version marked as storage version")
    for index, version in enumerate(versions):
        field = f"spec.versions[{index}]"
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            yield required(f"{field}.schema.openAPIV3Schema", "schemas are required")
        else:
            # The server keeps the schema of a lone version above the versions, and names it there.
            place = "spec.validation.openAPIV3Schema" if single else f"{field}.schema.openAPIV3Schema"
            yield from structural_problems(schema, place)
        top = "spec" if single else field
        for number, column in enumerate(version.get("additionalPrinterColumns") or []):
            yield from _column_problems(column, f"{top}.additionalPrinterColumns[{number}]")
        scale = (version.get("subresources") or {}).get("scale")
        if scale is not None:
            yield from _scale_problems(scale, f"{top}.subresources.scale")


def crd_problems(crd: Obj, old: Obj | None) -> Iterator[FieldProblem]:
    """Every fault of a CRD."""
    yield from _name_problems(crd)
    yield from _version_problems(crd)
    if crd["spec"].get("preserveUnknownFields"):
        yield bad_value("spec.preserveUnknownFields", True, "must be false in order to use defaults in the schema")
    if old is not None:
        for name in ("group", "scope"):
            if old["spec"].get(name) != crd["spec"].get(name):
                yield bad_value(f"spec.{name}", crd["spec"].get(name), "field is immutable")
        stored = (old.get("status") or {}).get("storedVersions") or []
        missing = [name for name in stored if name not in {v["name"] for v in crd["spec"]["versions"]}]
        for name in missing:
            yield forbidden_field(f"status.storedVersions[{stored.index(name)}]", "must appear in spec.versions")
