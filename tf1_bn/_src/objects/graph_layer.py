# SPDX-License-Identifier: Apache-2.0
"""What a layer does when it is called: its name, its scope, and what it makes and tracks there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from typing import Any, Callable, Iterator, Sequence

from .. import settings
from ..plan.spec import in_both_words, is_function, is_scope
from ..runtime.graph_place import next_layer_name, snake_case
from ..runtime.tensorflow_v1 import Operation, Variable, is_of_tensorflow, is_variable, op_of, tf
from ..state.undoing import variable_scope
from ..state.variables import get_variable, is_trainable, parts_of
from .answers import LISTS, Answers


class _Shelf:
    """Behind `tf.Module`, whose `__setattr__` tracks a value and calls this one to store it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if value is not self.__dict__.get("_only_tracked"):
            super().__setattr__(name, value)


class GraphLayer(Answers, tf.Module, _Shelf):  # type: ignore[misc]
    """The public face of `tf.layers.Layer`; a subclass has `trainable`, `built` and `call`.

    It is a `tf.Module` that tracks its weights by their names, as the layers of TF1 do. An
    attribute is tracked besides only if it is, or holds in lists and dicts, a variable or a module
    that is no weight. All others stay what they were set to: TensorFlow would put a wrapper around
    each list and dict, with a key of its own in checkpoints.
    """

    activity_regularizer: Callable[..., Any] | None = None
    _input_spec: Any
    _op_scope: str
    # By thread, as those of towers and replicas may be inside of one layer at the same time: the
    # scope that is entered, and what was checked of the call that runs.
    _entered: dict[int, Any]
    _running: dict[int, Any]

    def _start_layer(self, name: Any, reuse: Any, scope: Any, dtype: Any) -> None:
        # `tf.Module`'s constructor would open a name scope, and so rename the layer's ops.
        # None of this is to be tracked, and setting it one by one costs time.
        self.__dict__.update(
            _dtype=None if dtype is None else tf.as_dtype(dtype).name,
            _name=name if isinstance(name, str) else "",
            _input_spec=None,
            _base_name=(name.name if is_scope(name) else name) or snake_case(type(self).__name__),
            _reuse=reuse,
            _given_scope=scope,
            _scope=None,
            _op_scope="",
            _entered={},
            _running={},
            **{name: [] for name in LISTS},
        )

    def _take_name(self) -> None:
        self._name = self._name or next_layer_name(snake_case(type(self).__name__))

    @contextlib.contextmanager
    def _making(self, given: Any = None) -> Iterator[Any]:
        """Inside, variables are made or shared as `_reuse` says; may be nested.

        The first entry settles the scope, as `given` says where the layer has none yet.
        """
        entered = self._entered.get(threading.get_ident())
        if entered is not None:
            yield entered
            return
        with self._open_again(self._reuse) if self._scope else self._open(given) as scope:
            yield scope

    def _open(self, given: Any = None) -> Any:
        given = self._given_scope or given
        if given is None and self._reuse:
            given = self._base_name
        return self._enter(variable_scope(given, self._base_name, reuse=self._reuse))

    def _open_again(self, reuse: Any) -> Any:
        return self._enter(variable_scope(self._scope, reuse=reuse, auxiliary_name_scope=False))

    @contextlib.contextmanager
    def _enter(self, opened: Any) -> Iterator[Any]:
        # A scope that was given as an object would put the ops into a new name scope.
        with opened as (scope, op_scope), tf.name_scope(self._op_scope or op_scope):
            if self._scope is None:
                self.__dict__.update(_scope=scope, _op_scope=op_scope)
            with held(self._entered, scope):
                yield scope

    def add_weight(
        self,
        name: str,
        shape: Sequence[int] = (),
        dtype: Any = None,
        initializer: Any = None,
        regularizer: Any = None,
        trainable: bool | None = None,
        constraint: Any = None,
        use_resource: bool | None = None,
        synchronization: Any = tf.VariableSynchronization.AUTO,
        aggregation: Any = tf.VariableAggregation.NONE,
        partitioner: Any = None,
        **kwargs: Any,
    ) -> Variable:
        """Makes, or shares under reuse, the variable `name` in the layer's scope, and tracks it.

        A regularizer's loss is added to REGULARIZATION_LOSSES if the variable is new. Further
        keywords go to `tf.get_variable`.

        Raises:
          ValueError: the variable exists and is not to be shared, or the reverse; it is trainable,
            and `synchronization` is ON_READ.
        """
        kwargs.pop("experimental_autocast", None)
        on_read = synchronization == tf.VariableSynchronization.ON_READ
        if on_read and trainable:
            raise in_both_words(
                ValueError,
                f"`trainable` must be False with ON_READ (got {trainable!r} for {name!r}).",
                "Synchronization value can be set to VariableSynchronization.ON_READ only for "
                "non-trainable variables",
            )
        wanted = bool((not on_read if trainable is None else trainable) and self.trainable)
        kwargs.update(
            dtype=tf.as_dtype(dtype or self._dtype or tf.float32),
            initializer=resolved(f"{name}_initializer", initializer),
            constraint=resolved(f"{name}_constraint", constraint),
            use_resource=use_resource,
            synchronization=synchronization,
            aggregation=aggregation,
            partitioner=partitioner,
        )
        regularizer = resolved(f"{name}_regularizer", regularizer)
        with self._making() as scope:
            before = set() if regularizer is None else self._known_variables()
            weight = _weight(scope, name, shape, trainable=wanted, **kwargs)
            # A custom getter may have made it untrainable, or have handed out a plain tensor.
            self._weights.append((weight, wanted and is_trainable(weight)))
            if regularizer is not None:
                self._regularize(name, weight, regularizer, before)
        self._show(name, weight)
        return weight

    def _show(self, name: str, weight: Variable) -> None:
        """Lets modules and checkpoints see it."""
        parts = parts_of(weight)
        for index, part in enumerate(parts):
            self._track(name if part is weight else f"{name}/part_{index}", part)
        # `tf.Module` finds variables in lists, and gives them in the order of the lists' names.
        for attribute, trainable in (
            ("_trainable_weights", True),
            ("_non_trainable_weights", False),
        ):
            found = self._weights_that_are(trainable)
            self.__dict__[attribute] = [part for each in found for part in parts_of(each)]

    def _weights_that_are(self, trainable: bool) -> list[Variable]:
        return [weight for weight, is_so in self._weights if is_so == trainable]

    def add_update(self, updates: Any, inputs: Any = None) -> None:
        """Adds update ops: ops, tensors, assigned variables, or functions that make one of these.

        `inputs` is ignored, as in TF1: updates that are added in `call` are those of its input.

        Raises:
          ValueError: None.
        """
        running = self._running.get(threading.get_ident())
        source = None if running is None else running.inputs
        for update in updates if isinstance(updates, (list, tuple)) else [updates]:
            made = update() if callable(update) and not hasattr(update, "op") else update
            if not isinstance(made, tf.Operation) and not hasattr(made, "op"):
                made = tf.convert_to_tensor(made)
            self._updates.append((op_of(made), source))

    @property
    def updates(self) -> list[Operation]:
        """The update ops of all calls, in order; none while the layer is not trainable."""
        return [update for update, _ in self._updates] if self.trainable else []

    def _track(self, name: str, weight: Variable) -> None:
        """Tracks `weight` by `name`, whatever the attribute of that name is."""
        self.__dict__["_only_tracked"] = weight
        try:
            tf.Module.__setattr__(self, name, weight)
        finally:
            del self.__dict__["_only_tracked"]

    def __setattr__(self, name: str, value: Any) -> None:
        # Asked first, because a layer sets many such values while it is built.
        is_plain = value is None or isinstance(value, (bool, int, str))
        is_argument = is_plain or hasattr(getattr(type(self), name, None), "__set__")
        if is_argument or not self._is_further_state(value):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def _is_further_state(self, value: Any) -> bool:
        """Whether `value` is or holds a variable or module which is not tracked as a weight."""
        if isinstance(value, Mapping):
            return any(map(self._is_further_state, value.values()))
        if isinstance(value, (list, tuple)):
            return any(map(self._is_further_state, value))
        if not isinstance(value, tf.Module) and not is_variable(value):
            return False
        return not any(value is weight for weight, _ in self.__dict__.get("_weights", ()))


def resolved(argument: str, given: Any) -> Any:
    """What is given as a setting such as `gamma_initializer`, names and configs looked up.

    Returns:
      None or a callable.
    """
    return given if given is None or is_function(given) else settings.resolve(argument, given)


def _weight(scope: Any, name: str, shape: Sequence[int], **kwargs: Any) -> Variable:
    try:
        return get_variable(name, shape, **kwargs)
    except ValueError as error:
        if not is_of_tensorflow(error):
            raise
        raise ValueError(
            f"{error}\nThis is variable `{name}` of shape {list(shape)} of the batch-norm "
            f"layer in scope {scope.name!r} (got `reuse={scope.reuse}`)."
        ) from error


@contextlib.contextmanager
def held(by_thread: dict[int, Any], value: Any) -> Iterator[None]:
    """Inside, `value` is what this thread has in `by_thread`; may be nested."""
    thread = threading.get_ident()
    outer = by_thread.get(thread)
    by_thread[thread] = value
    try:
        yield
    finally:
        by_thread[thread] = outer
        if outer is None:
            del by_thread[thread]
