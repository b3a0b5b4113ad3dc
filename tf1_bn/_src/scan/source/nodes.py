# SPDX-License-Identifier: Apache-2.0
"""What single nodes of a syntax tree say; Python 3.7 has other classes of literals."""

from __future__ import annotations

import ast
from typing import Any

from .facts import Argument


def literal(node: Any) -> tuple[bool, Any]:
    """Whether a node is a plain literal, and its value."""
    kind = type(node).__name__
    if kind in ("Constant", "NameConstant"):
        return True, node.value
    if kind in ("Num", "Str"):
        return True, node.n if kind == "Num" else node.s
    return False, None


def parameters(arguments: Any) -> dict[str, Argument | None]:
    """The names of all parameters, in order, with the literal that is a default."""
    plain = [*getattr(arguments, "posonlyargs", ()), *arguments.args]
    rest = [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    missing = [None] * (len(plain) - len(arguments.defaults))
    defaults = [*missing, *arguments.defaults, *arguments.kw_defaults, *(None for _ in rest)]
    found: dict[str, Argument | None] = {}
    for each, default in zip([*plain, *arguments.kwonlyargs, *rest], defaults):
        known = (False, None) if default is None else literal(default)
        found[each.arg] = Argument(*known) if known[0] else None
    return found


def words_of(node: Any) -> str:
    """The identifiers and texts of an expression."""
    found, waiting = [], [node]
    while waiting:
        inner = vars(waiting.pop()).values()
        found += [each for each in inner if isinstance(each, str)]
        waiting += [each for each in inner if isinstance(each, ast.AST)]
        listed = [one for each in inner if isinstance(each, list) for one in each]
        waiting += [one for one in listed if isinstance(one, ast.AST)]
    return " ".join(found)
