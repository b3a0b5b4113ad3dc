# SPDX-License-Identifier: Apache-2.0
"""Reads the expressions of one file in the order of execution, and notes calls and uses."""

from __future__ import annotations

import ast
from typing import Any, Callable

from .facts import Argument, Call, Target
from .ledger import Ledger
from .names import Scope, attribute, either, imported_in, is_own_function, result
from .words import KEPT, literal, parameters

# By the kind of a node, the method that reads it; Str is Python 3.7's.
_READ = {
    kind: f"_on_{kind.lower()}"
    for kind in ("Name", "Attribute", "Call", "IfExp", "BoolOp", "NamedExpr", "Lambda", "Constant")
    + ("Str",)
}
_READABLE = (ast.expr, ast.keyword, getattr(ast, "slice", ast.expr))


class Reader:
    """What has been read of a file so far, and where the reading is."""

    def __init__(self, lines: list[str]) -> None:
        self.ledger = Ledger(lines)
        self.scope = Scope("")
        self.stars: list[str] = []
        self.attributes: dict[str, Target | None] = {}
        self.calls: list[Call] = []
        self.later: list[Callable[[], None]] = []
        self.bends = 0  # Conditions and loops around, within the scope.
        self.into: str | None = None
        self.optional: set[str] = set()

    def note(self, target: Target | None, node: Any) -> None:
        """Notes the use of an imported name, but not of one whose import may fail."""
        if target is not None and not self._is_optional(target):
            self.ledger.use(target, node)

    def guard(self, test: Any) -> None:
        """What is read from here on is a question of `test`, to the end of `ledger.guarded`."""
        self.ledger.guard(test, imported_in(test, self.scope, self.stars))

    def _is_optional(self, target: Target) -> bool:
        name = f"{target.names[0]}." if target.names else ""
        return bool(self.optional) and name.startswith(tuple(self.optional))

    # -- expressions -----------------------------------------------------------------------------

    def value(self, node: Any, is_inner: bool = False) -> Target | None:
        """Reads an expression and returns what it may be; `is_inner` if a longer name goes on."""
        kind = type(node).__name__
        name = _READ.get(kind)
        if name is not None:
            found: Target | None = getattr(self, name)(node, is_inner)
            return found
        if kind in ("ListComp", "SetComp", "DictComp", "GeneratorExp"):
            self._comprehension(node)
        elif kind == "JoinedStr":
            self._text(node)
        else:
            for field in node._fields:
                self._part(getattr(node, field, None))
        return None

    def _part(self, part: Any) -> None:
        for each in part if isinstance(part, list) else (part,):
            if isinstance(each, _READABLE):
                self.value(each)

    def _on_name(self, node: Any, is_inner: bool) -> Target | None:
        self.ledger.read(node.id)
        return self._seen(self.scope.find(node.id, self.stars), node, is_inner)

    def _on_attribute(self, node: Any, is_inner: bool) -> Target | None:
        base = self.value(node.value, is_inner=True)
        self.ledger.read(node.attr)
        found: Target | None = attribute(base, node.attr)
        if found is not None and len(found.names) == 1 and found.names[0] in self.attributes:
            found = self.attributes[found.names[0]]
        return self._seen(found, node, is_inner)

    def _seen(self, target: Target | None, node: Any, is_inner: bool) -> Target | None:
        if not is_inner:
            self.note(target, node)
            if target and any(each.split(".")[-1] in KEPT for each in target.names):
                self._add(target, node, (), {}, False, is_kept=True)
        return target

    def _on_call(self, node: Any, is_inner: bool) -> Target | None:
        into, self.into = self.into, None
        target = self.value(node.func, is_inner=True)
        self.note(target, node.func)
        is_open = any(isinstance(each, ast.Starred) for each in node.args)
        is_open = is_open or any(each.arg is None for each in node.keywords)
        values = [self._argument(each) for each in node.args]
        named = {each.arg: self._argument(each.value) for each in node.keywords}
        for each in node.keywords:
            self.ledger.word(each.arg or "")
        arguments = {name: value[1] for name, value in named.items() if name is not None}
        if target is None:
            self.ledger.stranger(("?",), self.scope.key)
            return None
        if target.names == ("functools.partial",) and values and values[0][0] is not None:
            inner = values[0][0]
            given = tuple(each[1] for each in values[1:])
            if is_open:
                # What is given is not known.
                arguments["*"] = Argument(False, None)
            return Target(inner.names, (*inner.positional, *given), tuple(arguments.items()))
        positional = (*target.positional, *(each[1] for each in values))
        self.into = into
        self._add(target, node.func, positional, {**dict(target.keywords), **arguments}, is_open)
        if any(is_own_function(each) for each, _ in (*values, *named.values())):
            # It may be called there.
            self.ledger.stranger(("?",), self.scope.key)
        self.into = None
        return result(target)

    def _argument(self, node: Any) -> tuple[Target | None, Argument]:
        target = self.value(node)
        is_literal, value = literal(node)
        if is_literal:
            return target, Argument(True, value)
        name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", None)
        known = target is not None and not target.names[0].startswith(("?", "."))
        return target, Argument(False, target.names[0] if target and known else name)

    def _on_ifexp(self, node: Any, is_inner: bool) -> Target | None:
        self.value(node.test)
        self.bends += 1
        with self.ledger.guarded():
            self.guard(node.test)
            found = either(self.value(node.body), self.value(node.orelse))
        self.bends -= 1
        return found

    def _on_boolop(self, node: Any, is_inner: bool) -> None:
        with self.ledger.guarded():
            self.value(node.values[0])
            for before, each in zip(node.values, node.values[1:]):
                self.guard(before)
                self.value(each)

    def _on_namedexpr(self, node: Any, is_inner: bool) -> Target | None:
        found = self.value(node.value)
        self.scope.bind(node.target.id, found)
        return found

    def _on_lambda(self, node: Any, is_inner: bool) -> None:
        self.inside("lambda", node.args, lambda: self.value(node.body))

    def _on_constant(self, node: Any, is_inner: bool) -> None:
        if isinstance(node.value, str):
            self.ledger.word(node.value)

    def _on_str(self, node: Any, is_inner: bool) -> None:
        self.ledger.word(node.s)

    def _text(self, node: Any) -> None:
        """Reads an f-string's names alone: before Python 3.12 the places inside are wrong."""
        for each in ast.walk(node):
            name = getattr(each, "id", None) or getattr(each, "attr", None)
            if isinstance(name, str):
                self.ledger.read(name)
            elif isinstance(literal(each)[1], str):
                self.ledger.word(literal(each)[1])

    def _comprehension(self, node: Any) -> None:
        outer, self.scope = self.scope, Scope(self.scope.key, self.scope)
        self.bends += 1
        for each in node.generators:
            self.value(each.iter)
            self.unknown(each.target)
            for condition in each.ifs:
                self.value(condition)
        for part in ("key", "value", "elt"):
            if getattr(node, part, None) is not None:
                self.value(getattr(node, part))
        self.bends -= 1
        self.scope = outer

    # -- what statements use as well -------------------------------------------------------------

    def inside(self, name: str, arguments: Any, read: Callable[[], Any]) -> str:
        """Reads a function's body later, when its module is read to the end; returns its key."""
        for default in [*arguments.defaults, *arguments.kw_defaults]:
            if default is not None:
                self.value(default)
        above = self.scope
        dot = "()." if above.is_class else "." if not above.key else ".<locals>."
        scope = Scope(f"{above.key}{dot}{name}", above)
        given = parameters(arguments)
        self.ledger.functions[scope.key] = given
        for parameter in given:
            self.ledger.word(parameter)
            scope.bound[parameter] = None
        is_method = above.is_class and scope.bound
        if is_method:
            scope.bound[next(iter(scope.bound))] = Target((f"{above.key}()",))

        around = self.ledger.questions

        def later() -> None:
            outer, bends, tries = self.scope, self.bends, self.ledger.tries
            with self.ledger.guarded():
                self.scope, self.bends, self.ledger.tries = scope, 0, 0
                self.ledger.questions = around
                read()
            self.scope, self.bends, self.ledger.tries = outer, bends, tries

        self.later.append(later)
        return scope.key

    def unknown(self, node: Any) -> None:
        """Binds the names of a target of assignment to what nobody knows."""
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                self.ledger.word(each.id)
                self.scope.bind(each.id, None)
            elif not isinstance(each, (ast.Tuple, ast.List, ast.Starred)) and each is node:
                self.value(each)

    def _add(
        self,
        target: Target,
        node: Any,
        given: Any,
        named: Any,
        is_open: bool,
        is_kept: bool = False,
    ) -> None:
        if not self.ledger.counts(target.names, self.scope.key):
            return
        self.calls.append(
            Call(
                target.names,
                *self.ledger.place(node),
                tuple(given),
                named,
                is_open or "*" in named,
                self.scope.key,
                self.ledger.order,
                not self.bends,
                is_kept,
                self.into,
            )
        )
