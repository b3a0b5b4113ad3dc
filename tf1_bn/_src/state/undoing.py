# SPDX-License-Identifier: Apache-2.0
"""Calls that leave nothing behind if they fail, whatever raises, Ctrl-C included."""

from __future__ import annotations

import contextlib
import functools
import threading
from typing import Any, Callable, Iterator, Tuple, TypeVar

from ..runtime.graph_place import home_graph, lengths, take_out_since
from ..runtime.tensorflow_v1 import is_variable, tf
from .leftovers import Left, leave

_Function = TypeVar("_Function", bound=Callable[..., Any])

_LEFT_SCOPES = ("tf1_bn", "left scopes")


# Of a variable scope that was opened by a name: this, its op scope, and the variable scope and the
# op scope that it was opened in.
_Named = Tuple[str, str, str, str]


class _Running(threading.local):
    """What the calls that this thread runs have made and opened so far, the outermost first.

    Attributes:
      made: their variables; None outside of any call.
      layers: those that are called or built.
      contexts: the variable scopes that are open.
      op_scopes: of open scopes, by name, the op scopes that are used again.
      named: the variable scopes that were opened by a name.
    """

    def __init__(self) -> None:
        self.made: list[Left] | None = None
        self.layers: list[Any] = []
        self.contexts: list[Any] = []
        self.op_scopes: dict[str, str] = {}
        self.named: list[_Named] = []


running = _Running()


def all_or_nothing(function: _Function) -> _Function:
    """A function, or a method of a layer, that takes back what it did if it does not return.

    What is taken back: items of collections, the layer's state, the counts that name layers, and
    open variable scopes. Variables and ops stay in the graph; the variables are kept for a retry.
    """

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        layer = args[0] if args and hasattr(args[0], "_spec") else None
        if any(layer is other for other in running.layers):
            # The call of the layer that builds it takes back what building did.
            return function(*args, **kwargs)
        undo = _Undo(layer)
        try:
            undo.begin()
            # On one line: between two an interrupt could come when all is done.
            return undo.keep(function(*args, **kwargs))
        except BaseException:
            undo.take_back()
            raise

    return guarded  # type: ignore[return-value]


@contextlib.contextmanager
def variable_scope(
    given: Any, default_name: str | None = None, values: Any = None, **kwargs: Any
) -> Iterator[tuple[Any, str]]:
    """As `tf.variable_scope`, and gives the name of its op scope as well.

    Where a failed call has left the op scope of a variable scope of this name, it is used again.
    """
    around, outside = tf.get_variable_scope().name, tf.get_default_graph().get_name_scope()
    context, left = _context(given, default_name, values, kwargs)
    scope = _enter(context)
    try:
        op_scope = left or running.op_scopes.get(scope.name) or scope.original_name_scope
        if not isinstance(given, tf.VariableScope):
            running.named.append((scope.name, op_scope, around, outside))
        if left is None:
            yield scope, op_scope
        else:
            running.op_scopes[scope.name] = left
            with tf.name_scope(left):
                yield scope, op_scope
    finally:
        if left is not None:
            running.op_scopes.pop(scope.name, None)
        _leave(context)


def _context(given: Any, default_name: Any, values: Any, kwargs: Any) -> tuple[Any, str | None]:
    """A variable scope to be entered, and the op scope to enter instead of its own, if any."""
    kept = home_graph().get_collection_ref(_LEFT_SCOPES)
    inside = tf.get_default_graph() is not home_graph()
    if not kept or inside or isinstance(given, tf.VariableScope) or (not given and kwargs["reuse"]):
        return tf.variable_scope(given, default_name, values, **kwargs), None
    around, outside = tf.get_variable_scope().name, tf.get_default_graph().get_name_scope()
    if given is None:
        # Only TensorFlow knows which number the name will get.
        with tf.variable_scope(None, default_name, auxiliary_name_scope=False) as named:
            given = named.name[len(around) + 1 if around else 0 :]
    full = f"{around}/{given}" if around else given
    places = [(name, around_op) for name, _, _, around_op in kept]
    if (full, outside) not in places:
        return tf.variable_scope(given, **kwargs), None
    _, op_scope, _, _ = kept.pop(places.index((full, outside)))
    return tf.variable_scope(given, auxiliary_name_scope=False, **kwargs), op_scope


class _Undo:
    """What a call would have to take back."""

    def __init__(self, layer: Any) -> None:
        self._lengths = lengths()
        self._layer, self._layers = layer, len(running.layers)
        self._restore = _restorer(layer)
        self._outermost = running.made is None
        self._first = 0 if running.made is None else len(running.made)
        self._contexts, self._named = len(running.contexts), len(running.named)
        self._op_scopes = dict(running.op_scopes)
        self._kept: list[Left] | None = None

    def begin(self) -> None:
        if self._outermost:
            running.made = []
        if self._layer is not None:
            running.layers.append(self._layer)
        scope = tf.get_variable_scope()
        # Leaving a scope that was entered as an object takes back the counts of names in it.
        self._scope = tf.variable_scope(
            scope, constraint=scope.constraint, auxiliary_name_scope=False
        )
        self._around = scope.name
        _enter(self._scope)

    def keep(self, result: Any) -> Any:
        """The call has succeeded: the names it has used are used."""
        del running.layers[self._layers :]
        _leave(self._scope)
        start = len(self._around) + 1 if self._around else 0
        used = [
            tf.variable_scope(name[start:], auxiliary_name_scope=False)
            for name, _, around, _ in running.named[self._named :]
            if around == self._around
        ]
        self._kept = self._made()
        if self._outermost:
            self._end()
        return any(map(_count, used)) or result

    def take_back(self) -> None:
        _close_down_to(self._contexts)
        ours = leave(self._made() if self._kept is None else self._kept)
        if tf.get_default_graph() is home_graph():
            kept = home_graph().get_collection_ref(_LEFT_SCOPES)
            kept.extend(running.named[self._named :])
        # Variables that others made in this call are shared by names, so they must be found.
        take_out_since(self._lengths, lambda item: is_variable(item) and id(item) not in ours)
        self._restore()
        self._end()

    def _made(self) -> list[Left]:
        return [] if running.made is None else running.made[self._first :]

    def _end(self) -> None:
        if self._outermost:
            running.made = None
        else:
            assert running.made is not None
            del running.made[self._first :]
        del running.layers[self._layers :]
        del running.contexts[self._contexts :]
        del running.named[self._named :]
        running.op_scopes = self._op_scopes


def _restorer(layer: Any) -> Callable[[], None]:
    """A function that gives a layer, and the objects it consists of, their attributes back."""
    parts = [
        value
        for value in ([] if layer is None else vars(layer).values())
        if type(value).__module__.startswith("tf1_bn.") and hasattr(value, "__dict__")
    ]
    whole = [] if layer is None else [layer, *parts]
    saved_of = [(part, _copied(vars(part))) for part in whole]

    def restore() -> None:
        for part, saved in saved_of:
            for name in set(vars(part)) - set(saved):
                del vars(part)[name]
            for name, (value, content) in saved.items():
                if type(value) is list:
                    value[:] = content
                elif type(value) is dict:
                    value.clear()
                    value.update(content)
                vars(part)[name] = value

    return restore


def _copied(attributes: dict[str, Any]) -> dict[str, Any]:
    """Each attribute, and a copy of what it holds if it is a list or dict."""
    return {
        name: (value, value.copy() if type(value) in (list, dict) else None)
        for name, value in attributes.items()
    }


def _enter(context: Any) -> Any:
    running.contexts.append(context)
    return context.__enter__()


def _leave(context: Any) -> None:
    if context not in running.contexts:
        # Left already, by one around it: an interrupt had come before its turn.
        return
    _close_down_to(running.contexts.index(context) + 1)
    context.__exit__(None, None, None)
    running.contexts.pop()


def _close_down_to(count: int) -> None:
    while len(running.contexts) > count:
        # It may have been left, or not entered yet, when the interrupt came.
        with contextlib.suppress(Exception):
            running.contexts[-1].__exit__(None, None, None)
        running.contexts.pop()


def _count(context: Any) -> Any:
    # What is entered has a name, and leaving gives None; on one line, as above.
    return context.__enter__() and context.__exit__(None, None, None)
