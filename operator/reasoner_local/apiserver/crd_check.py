"""Validation of a CustomResourceDefinition: what a real API server would refuse, with the path of the fault."""

from collections.abc import Iterator

from .errors import FieldProblem, bad_value, required
from .objects import Obj, meta


def crd_problems(crd: Obj, old: Obj | None) -> Iterator[FieldProblem]:
    """Every fault of a CRD."""
    del old
    spec = crd.get("spec") or {}
    names = spec.get("names") or {}
    for name in ("plural", "kind"):
        if not names.get(name):
            yield required(f"spec.names.{name}")
    if not spec.get("group"):
        yield required("spec.group")
    wanted = f"{names.get('plural', '')}.{spec.get('group', '')}"
    if meta(crd).get("name") != wanted:
        why = 'must be spec.names.plural+"."+spec.group'
        yield bad_value("metadata.name", meta(crd).get("name"), why)
