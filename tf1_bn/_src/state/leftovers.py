# SPDX-License-Identifier: Apache-2.0
"""Variables that a failed call has left: a graph cannot drop them, so a retry takes them."""

from __future__ import annotations

import logging
from typing import Any, Callable, NamedTuple, Sequence

from ..runtime.graph_place import GraphLengths, add_once, collected_since, home_graph
from ..runtime.tensorflow_v1 import Variable, is_variable, tf
from .reach import full_name
from .same import same

_LOG = logging.getLogger("tf1_bn")
# As in graph_place: what is kept stays with its graph.
LEFT = ("tf1_bn", "left variables")

_OTHER_CALL = (
    "Variable {name} was left by a call that failed, and a graph cannot drop it. A retry takes it "
    "if it asks for the same variable, which was made with {what}={found!r} (got {wanted!r}): "
    "repeat the call that failed, or use another `name` or a new graph."
)
_SHARED = (
    "Variable {name} does not exist, or was not created with tf.get_variable(): a call that failed "
    "left it, and counts as not made (got `reuse=True`). Repeat that call without reuse first."
)
_UNFINISHED = (
    "The op {name!r} was left by a call that was interrupted while TensorFlow made this variable, "
    "and a graph cannot drop it: use another `name` for the layer, or a new graph (got {name!r})."
)

_SOME_PARTS = (
    "Of the variable {name} a call that was interrupted has left some parts only ({parts}), and a "
    "graph cannot drop them: use another `name` for the layer, or a new graph (got {name!r}; "
    "TensorFlow says: {error})."
)


class Left(NamedTuple):
    """A variable that a call makes, or that was left when the call failed.

    Attributes:
      name: its full name.
      request: what was asked for, by the keywords of `tf.get_variable`.
      before: how much the collections held before it.
      items: the keys of collections and what was added to them, once it is finished or left.
      finished: False while it is made, and for good if that was interrupted.
    """

    name: str
    request: dict[str, Any]
    before: Sequence[GraphLengths]
    items: Sequence[tuple[Any, Any]] = ()
    finished: bool = False


def leave(made: Sequence[Left]) -> set[int]:
    """Keeps the variables of a failed call for a retry, and tells the identities of its items."""
    kept = _kept()
    lefts = [
        each if each.finished else each._replace(items=collected_since(each.before))
        for each in made
    ]
    # A variable that was shared added nothing.
    lefts = [left for left in lefts if left.items or not left.finished]
    for left in lefts:
        before = next((other for other in kept if other.name == left.name), None)
        kept[:] = [other for other in kept if other is not before]
        left = left._replace(before=())
        kept.append(left if before is None else _merged(before, left))
    return {id(item) for left in lefts for _, item in left.items}


def _merged(before: Left, again: Left) -> Left:
    """What is left when a retry has failed as well; the variable is the first one's, if any."""
    if not any(is_variable(item) for _, item in before.items):
        return again
    items = {(key, id(item)): (key, item) for key, item in [*before.items, *again.items]}
    return before._replace(items=list(items.values()))


def find(name: str) -> Left | None:
    """The variable of this full name that was left by a call that failed, if any."""
    return next((left for left in _kept() if left.name == name), None)


def take(left: Left, request: dict[str, Any], get: Callable[[], Variable]) -> Variable:
    """The variable that was left, if a call asks for the same one.

    Args:
      left: by the failed call.
      request: of the call that asks.
      get: asks TensorFlow for it, or for those of its parts that were not made.

    Raises:
      ValueError: as of `tf.get_variable`; the call asks for another, or shares what counts as not
        made; what was left is too little to be taken.
    """
    scope = tf.get_variable_scope()
    if scope.reuse is True:
        raise ValueError(_SHARED.format(name=left.name))
    made = [item for _, item in left.items if is_variable(item)]
    if not all(map(_is_whole, made)):
        raise ValueError(_UNFINISHED.format(name=left.name))
    if made:
        _check_same(left, request)
    created: list[str] = []
    sharing = tf.variable_scope(
        scope, reuse=tf.AUTO_REUSE, constraint=scope.constraint, auxiliary_name_scope=False
    )
    with sharing, tf.variable_creator_scope(_creator(made, created)):
        variable = _got(get, left, made)
    home = home_graph()
    for key, item in left.items:
        add_once(key, [item], home)
    if made and not left.finished and not created:
        _regularize(made, left, request.get("regularizer") or scope.regularizer)
    kept = _kept()
    kept[:] = [other for other in kept if other is not left]
    _LOG.debug("%s: taken over from a call that failed", left.name)
    return variable


def _got(get: Callable[[], Variable], left: Left, made: Sequence[Variable]) -> Variable:
    try:
        return get()
    except ValueError as error:
        names = dict.fromkeys(full_name(each, left.name) for each in made)
        parts = [name for name in names if "/part_" in name]
        if left.finished or not parts or "partition" not in str(error):
            raise
        shown = ", ".join(parts)
        raise ValueError(_SOME_PARTS.format(name=left.name, parts=shown, error=error)) from None


def _is_whole(variable: Variable) -> bool:
    """Whether TensorFlow came to the end of making it."""
    # One that a function lifts out of itself has a handle and no op.
    return hasattr(variable, "handle") or hasattr(variable, "op")


def _creator(made: Sequence[Variable], created: list[str]) -> Callable[..., Variable]:
    """Makes what was not made yet under the name that the interrupted call used up."""

    def create(next_creator: Callable[..., Variable], **kwargs: Any) -> Variable:
        name = kwargs.get("name")
        if not isinstance(name, str) or tf.distribute.has_strategy():
            return next_creator(**kwargs)
        known = next((variable for variable in made if variable.op.name == name), None)
        if known is not None:
            return known
        if _has_op(name):
            raise ValueError(_UNFINISHED.format(name=name))
        created.append(name)
        # A name that ends so is taken as it is, as by `tf.name_scope`.
        return next_creator(**{**kwargs, "name": f"{name}/"})

    return create


def _regularize(made: Sequence[Variable], left: Left, regularizer: Any) -> None:
    """The loss that TensorFlow adds behind a new variable, if the call came to an end before."""
    losses = tf.GraphKeys.REGULARIZATION_LOSSES
    found = [item for key, item in left.items if key == losses]
    parts = list(dict.fromkeys(made))
    # Each part has its loss before the next one is made, so only the last can lack it.
    scope = f"{full_name(parts[-1], left.name)}/Regularizer/"
    has_loss = len(found) == len(parts) or any(_name(loss).startswith(scope) for loss in found)
    if regularizer is None or has_loss:
        return
    with tf.get_default_graph().colocate_with(parts[-1]), tf.name_scope(scope):
        loss = regularizer(parts[-1])
    if loss is not None:
        tf.add_to_collection(losses, loss)


def _name(loss: Any) -> str:
    return str(getattr(loss, "name", ""))


def _check_same(left: Left, request: dict[str, Any]) -> None:
    for what in sorted({*left.request, *request}):
        wanted, found = request.get(what), left.request.get(what)
        # The reason why the call failed may be the regularizer, and have been put right.
        changed = what == "regularizer" and not left.finished
        if not changed and not same(wanted, found):
            raise ValueError(
                _OTHER_CALL.format(name=left.name, what=what, wanted=wanted, found=found)
            )


def _kept() -> list[Left]:
    return home_graph().get_collection_ref(LEFT)  # type: ignore[no-any-return]


def _has_op(name: str) -> bool:
    try:
        home_graph().get_operation_by_name(name)
    except KeyError:
        return False
    return True
