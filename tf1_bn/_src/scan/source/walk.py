# SPDX-License-Identifier: Apache-2.0
"""Reads the statements of one file: what binds names, what branches, what runs later."""

from __future__ import annotations

import ast
from typing import Any

from .facts import Facts, Import, Target
from .names import Scope, member
from .reader import Reader
from .words import is_answer, is_end, literal, silenced, words_of

# A failed import or lookup in front of these is meant.
_MEANT = ("ImportError", "ModuleNotFoundError", "AttributeError", "Exception", "BaseException")


def facts_of(path: str, tree: ast.Module, lines: list[str]) -> Facts:
    """Returns what is known of a parsed file.

    Raises:
      RecursionError: it is nested too deeply.
    """
    reader = Reader(lines)
    walk = _Walk(reader)
    walk.body(tree.body)
    while reader.later:
        waiting, reader.later = reader.later, []
        for read in waiting:
            read()
    bound = reader.scope.bound.items()
    return Facts(
        path=path,
        calls=reader.calls,
        uses=reader.ledger.uses,
        imports=reader.ledger.imports,
        exports={name: target.names for name, target in bound if target and target.names},
        functions=reader.ledger.functions,
        strangers=reader.ledger.strangers,
        loaded=frozenset(reader.ledger.loaded),
        has_updates=reader.ledger.has_updates,
        has_places=reader.ledger.has_places,
        silenced=silenced(lines),
        flags=frozenset(reader.ledger.flags),
    )


class _Walk:
    """The statements, in the order of execution; functions are read when the module is."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def body(self, statements: list[Any]) -> None:
        questions = self.reader.ledger.questions
        for each in statements:
            read = getattr(self, f"_on_{type(each).__name__.lower()}", self._other)
            read(each)
            # What follows runs for one answer alone.
            if is_end(each):
                self.reader.guard(each.test)
        self.reader.ledger.questions = questions

    def _other(self, node: Any) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.reader.value(child)
            elif isinstance(child, ast.stmt):
                self._bent([child])
            elif type(child).__name__ == "match_case":
                self._bent(child.body)  # type: ignore[attr-defined]

    def _on_expr(self, node: Any) -> None:
        if literal(node.value)[0]:
            # A docstring speaks of anything.
            return
        self.reader.into = "" if isinstance(node.value, ast.Call) else None
        self.reader.value(node.value)
        self.reader.into = None

    # -- names -----------------------------------------------------------------------------------

    def _on_import(self, node: Any) -> None:
        for alias in node.names:
            self.reader.ledger.imports.append(Import(0, alias.name))
            top = alias.name.split(".")[0]
            self.reader.scope.bind(
                alias.asname or top, Target((alias.name if alias.asname else top,))
            )
            self._may_fail(Target((alias.name,)))
            self.reader.note(Target((alias.name,)), node)

    def _may_fail(self, imported: Target) -> None:
        """Keeps in mind what is imported with a way out; without TensorFlow there is none."""
        (name,) = imported.names
        if self.reader.ledger.has_way_out and name not in ("tensorflow", "tensorflow.compat.v1"):
            self.reader.optional.add(f"{name}.")

    def _on_importfrom(self, node: Any) -> None:
        module = node.module or ""
        self.reader.ledger.imports.append(Import(node.level, module))
        # Of this tree, until it is known where the file stands.
        base = module if not node.level else f"{'<' * node.level}{module}"
        for alias in node.names:
            if alias.name == "*":
                self.reader.stars.append(base)
                continue
            self.reader.ledger.word(alias.name)
            self.reader.ledger.imports.append(
                Import(node.level, f"{module}.{alias.name}".strip("."))
            )
            target = Target((member(base, alias.name),))
            self._may_fail(target)
            self.reader.scope.bind(alias.asname or alias.name, target)
            self.reader.note(target, node)

    def _on_assign(self, node: Any) -> None:
        (first, *others) = node.targets
        is_plain = not others and isinstance(first, ast.Name)
        is_plain = is_plain and first.id not in self.reader.scope.globals
        self.reader.into = first.id if is_plain and isinstance(node.value, ast.Call) else None
        target = self.reader.value(node.value)
        self.reader.into = None
        if is_plain and (self.reader.ledger.has_way_out or is_answer(node.value)):
            self.reader.ledger.flags.add(first.id)
        for each in node.targets:
            self._bind(each, target, node.value)

    def _on_annassign(self, node: Any) -> None:
        target = self.reader.value(node.value) if node.value is not None else None
        if node.value is not None:
            self._bind(node.target, target, node.value)

    def _bind(self, place: Any, target: Target | None, value: Any) -> None:
        if isinstance(place, ast.Name):
            self.reader.ledger.word(place.id)
            if target is not None or literal(value) != (True, None):
                self.reader.scope.bind(place.id, target)
        elif isinstance(place, ast.Attribute):
            owner = self.reader.value(place.value, is_inner=True)
            self.reader.ledger.word(place.attr)
            if owner is not None and owner.names[:1] and owner.names[0].startswith("."):
                self.reader.attributes[f"{owner.names[0]}.{place.attr}"] = target
        elif isinstance(place, (ast.Tuple, ast.List)) and isinstance(value, (ast.Tuple, ast.List)):
            self.reader.unknown(place)
        else:
            self.reader.unknown(place)

    def _on_augassign(self, node: Any) -> None:
        self.reader.value(node.value)
        self.reader.unknown(node.target)
        if isinstance(node.target, ast.Name):
            self.reader.ledger.loaded.add(node.target.id)

    def _on_global(self, node: Any) -> None:
        self.reader.scope.globals.update(node.names)

    # -- what runs later -------------------------------------------------------------------------

    def _on_functiondef(self, node: Any) -> None:
        reader = self.reader
        for each in node.decorator_list:
            reader.value(each)
        reader.ledger.word(node.name)
        key = reader.inside(node.name, node.args, lambda: self.body(node.body))
        reader.scope.bind(node.name, Target((key,)))

    _on_asyncfunctiondef = _on_functiondef

    def _on_classdef(self, node: Any) -> None:
        reader = self.reader
        for each in [*node.decorator_list, *node.bases, *(k.value for k in node.keywords)]:
            reader.value(each)
        above = reader.scope
        key = f"{above.key}.{node.name}" if not above.key else f"{above.key}.<locals>.{node.name}"
        above.bind(node.name, Target((key,)))
        reader.scope = Scope(key, above, is_class=True)
        self.body(node.body)
        reader.scope = above

    # -- branches --------------------------------------------------------------------------------

    def _bent(self, *bodies: list[Any]) -> None:
        """Bodies that may run or not, once or often."""
        reader, scope = self.reader, self.reader.scope
        reader.bends += 1
        loose, scope.is_loose = scope.is_loose, True
        for each in bodies:
            self.body(each)
        scope.is_loose = loose
        reader.bends -= 1

    def _on_if(self, node: Any) -> None:
        # A long chain of elif is one node inside the other.
        with self.reader.ledger.guarded():
            while True:
                self.reader.value(node.test)
                self.reader.guard(node.test)
                if "__main__" in words_of(node.test):
                    self.body(node.body)
                else:
                    self._bent(node.body)
                if len(node.orelse) != 1 or not isinstance(node.orelse[0], ast.If):
                    break
                node = node.orelse[0]
            self._bent(node.orelse)

    def _on_for(self, node: Any) -> None:
        self.reader.value(node.iter)
        self.reader.unknown(node.target)
        self._bent(node.body, node.orelse)

    _on_asyncfor = _on_for

    def _on_while(self, node: Any) -> None:
        self.reader.value(node.test)
        self._bent(node.body, node.orelse)

    def _on_with(self, node: Any) -> None:
        for item in node.items:
            self.reader.value(item.context_expr)
            if item.optional_vars is not None:
                self.reader.unknown(item.optional_vars)
        self.body(node.body)

    _on_asyncwith = _on_with

    def _on_try(self, node: Any) -> None:
        caught = [words_of(each.type) if each.type else "Exception" for each in node.handlers]
        is_meant = any(word in each for each in caught for word in _MEANT)
        self.reader.ledger.tries += is_meant
        self.body(node.body)
        handlers = [each.body for each in node.handlers]
        self._bent(*handlers, node.orelse)
        self.reader.ledger.tries -= is_meant
        self.body(node.finalbody)

    _on_trystar = _on_try
