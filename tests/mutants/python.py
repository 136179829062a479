"""Mutants of Python: mutmut's, also of module-level code, and calls that are left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper
from mutmut.mutation.file_mutation import MutationVisitor
from mutmut.mutation.mutators import mutation_operators, operator_string
from mutmut.mutation.pragma_handling import IgnoredCode


def mutants(path: Path) -> Iterator[str]:
    """Yield the texts of a file, each changed in one place."""
    wrapper = MetadataWrapper(cst.parse_module(path.read_text()))
    operators = [it for it in mutation_operators if it[1] is not operator_string]
    visitor = MutationVisitor(
        [*operators, (cst.SimpleString, _names), (cst.Expr, _left_out)], IgnoredCode(set(), set(), set())
    )
    module = wrapper.visit(visitor)
    for mutation in visitor.mutations:
        if not _is_prose(mutation.original_node, mutation.mutated_node):
            changed = module.deep_replace(mutation.original_node, mutation.mutated_node)
            yield cst.ensure_type(changed, cst.Module).code


def _names(node: cst.SimpleString) -> Iterable[cst.CSTNode]:
    """Another name. Text for people is left alone."""
    if " " not in node.value and '"""' not in node.value:
        yield next(iter(operator_string(node)))


def _left_out(node: cst.Expr) -> Iterable[cst.CSTNode]:
    if isinstance(node.value, cst.Call | cst.Await):
        yield cst.Pass(semicolon=node.semicolon)


def _is_prose(before: cst.CSTNode, after: cst.CSTNode) -> bool:
    """Return whether the mutation only changes a description for the documentation."""
    if not isinstance(before, cst.Call) or not isinstance(after, cst.Call):
        return False
    kept = [arg.value for arg in after.args]
    lost = [arg for arg in before.args if arg.value not in kept]
    return any(arg.keyword is not None and arg.keyword.value == "description" for arg in lost)
