# SPDX-License-Identifier: Apache-2.0
"""The rewriting of one file with LibCST, which keeps every space and comment."""

from __future__ import annotations

from typing import Any, Collection, Sequence

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from .source.words import HOMES

_OURS = {
    "batch_normalization": "batch_normalization",
    "batch_norm": "batch_normalization",
    "BatchNormalization": "BatchNormalization",
    "BatchNorm": "BatchNormalization",
}


class Untouched(Exception):
    """A file is left as it is; the message says why."""


def rewritten(source: bytes, places: Collection[tuple[int, int]]) -> bytes:
    """Returns the file with the batch norm at each place (line, column, from 1) from tf1_bn.

    Raises:
      Untouched: it cannot be done without touching more.
    """
    try:
        wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
        change = _Change(places)
        old = wrapper.module
        module = wrapper.visit(change)
        if change.needs_import:
            module = _with_import(module, old)
        return bytes(module.bytes)
    except cst.ParserSyntaxError as error:
        raise Untouched(f"LibCST cannot read it: {str(error).splitlines()[0]}") from None
    except Exception as error:
        # What it raises where a file is nested too deeply depends on the place.
        raise Untouched(f"LibCST cannot rewrite it ({type(error).__name__})") from None


def _is_ours_whole(node: cst.ImportFrom) -> bool:
    """Whether a statement imports batch norm from tf.layers and nothing else."""
    if node.module is None or node.relative or isinstance(node.names, cst.ImportStar):
        return False
    listed = [alias.name.value for alias in node.names]
    return _dotted(node.module) in HOMES and all(name in _OURS for name in listed)


def _dotted(node: Any) -> str:
    if isinstance(node, cst.Attribute):
        return f"{_dotted(node.value)}.{node.attr.value}"
    return str(getattr(node, "value", ""))


class _Change(cst.CSTTransformer):
    """Puts tf1_bn's name where a place is, or into the import that the name comes from."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, places: Collection[tuple[int, int]]) -> None:
        super().__init__()
        self.places = places
        self.needs_import = False
        self.tries = 0

    def leave_Attribute(self, original_node: Any, updated_node: Any) -> Any:
        start = self.get_metadata(PositionProvider, original_node).start
        name = original_node.attr.value
        if name not in _OURS or (start.line, start.column + 1) not in self.places:
            return updated_node
        self.needs_import = True
        new = cst.Attribute(cst.Name("tf1_bn"), cst.Name(_OURS[name]))
        return new.with_changes(lpar=updated_node.lpar, rpar=updated_node.rpar)

    def visit_Try(self, node: Any) -> None:
        self.tries += 1

    def leave_Try(self, original_node: Any, updated_node: Any) -> Any:
        self.tries -= 1
        return updated_node

    def leave_ImportFrom(self, original_node: Any, updated_node: Any) -> Any:
        # One that may fail has its way out already.
        if self.tries or not _is_ours_whole(original_node):
            return updated_node
        names = [
            alias.with_changes(name=cst.Name(_OURS[alias.name.value]), asname=_kept_name(alias))
            for alias in updated_node.names
        ]
        return updated_node.with_changes(module=cst.Name("tf1_bn"), names=names)

    def visit_ImportAlias(self, node: Any) -> bool:
        return False


def _kept_name(alias: cst.ImportAlias) -> cst.AsName | None:
    """The name that the file knows it by, where tf1_bn's is another."""
    old = str(alias.name.value)
    if alias.asname is None and _OURS[old] != old:
        space = cst.SimpleWhitespace(" ")
        return cst.AsName(cst.Name(old), whitespace_before_as=space, whitespace_after_as=space)
    return alias.asname


def _with_import(module: cst.Module, old: cst.Module) -> cst.Module:
    """The module with `import tf1_bn` behind the import of TensorFlow, and before its first use."""
    body: Sequence[Any] = module.body
    texts = [module.code_for_node(each) for each in body]
    if any(text.split("#")[0].strip() == "import tf1_bn" for text in texts):
        return module
    at = next((place for place, each in enumerate(body) if _imports_tensorflow(each)), None)
    if at is None:
        first = (place for place, each in enumerate(body) if not _is_beginning(each, place))
        at = next(first, len(body)) - 1
    first_use = next(
        place for place, each in enumerate(old.body) if old.code_for_node(each) != texts[place]
    )
    at = min(at + 1, first_use)
    line = cst.SimpleStatementLine([cst.Import([cst.ImportAlias(cst.Name("tf1_bn"))])])
    return module.with_changes(body=[*body[:at], line, *body[at:]])


def _imports_tensorflow(statement: Any) -> bool:
    found = _Imports()
    statement.visit(found)
    return found.is_tensorflow


class _Imports(cst.CSTVisitor):
    """Looks whether a statement at the top, or one inside of it, imports TensorFlow."""

    def __init__(self) -> None:
        super().__init__()
        self.is_tensorflow = False

    def visit_FunctionDef(self, node: Any) -> bool:
        return False

    def visit_ClassDef(self, node: Any) -> bool:
        return False

    def visit_Import(self, node: Any) -> None:
        roots = [_dotted(alias.name).split(".")[0] for alias in node.names]
        self.is_tensorflow |= "tensorflow" in roots

    def visit_ImportFrom(self, node: Any) -> None:
        self.is_tensorflow |= _dotted(node.module).split(".")[0] == "tensorflow"


def _is_beginning(statement: Any, place: int) -> bool:
    """Whether it has to stay in front: the docstring, or an import from __future__."""
    if not isinstance(statement, cst.SimpleStatementLine):
        return False
    (first, *_) = statement.body
    if isinstance(first, cst.Expr) and isinstance(first.value, cst.SimpleString):
        return place == 0
    return isinstance(first, cst.ImportFrom) and _dotted(first.module) == "__future__"
