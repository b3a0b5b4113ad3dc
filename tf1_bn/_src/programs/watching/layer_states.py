# SPDX-License-Identifier: Apache-2.0
"""What is known of each layer of a program, and the state that follows; no TensorFlow in here."""

from __future__ import annotations

import re
from typing import Any, Tuple

from .executed import Executed

# Of a layer: the number of its graph, and the name of its moving mean.
Key = Tuple[int, str]

MOVED = "moved"
# Nothing was to move: called or run for inference alone, or not trainable.
NO_UPDATES = "no updates"
# The same, in a graph that a session trained through it, with averages that nobody loaded.
IDLE = "idle"
# The updates ran, and the flag said in each run that it does not train.
FLAG_FALSE = "flag false"
# No session run needed the outputs.
UNUSED = "unused"
# The updates did not run, and the program itself gave the averages values behind the training.
GIVEN = "given"
# Inside of a function, whose ops a walk over the graph does not see.
HIDDEN = "hidden"
# The outputs were used, the updates did not run, and the program...
NEVER_COLLECTED = "never collected"
COLLECTED_EARLY = "collected early"
LEFT_OUT = "left out"
NOT_FETCHED = "not fetched"
# ... keeps them in a collection of its own, or in none.
NOT_RUN = "not run"


class LayerStates:
    """Facts of layers by name, none of which keeps a graph alive."""

    def __init__(self) -> None:
        # In the order of the calls, with how many layers were there before.
        self.built: dict[Key, int] = {}
        self._moving: dict[Key, set[str]] = {}
        self._moved: set[Key] = set()
        self._hidden: set[Key] = set()
        self._frozen: set[Key] = set()
        # Before the training, from wherever; and behind it, by the program itself.
        self._loaded: set[Key] = set()
        self._given: set[Key] = set()
        self._used: set[Key] = set()
        # Moving means of any graph, which a call may read or a checkpoint keeps.
        self._wanted: set[str] = set()
        self._trained_through: set[Key] = set()
        # Graphs in which something was trained.
        self._trained: set[int] = set()
        self._outputs: dict[Key, Key] = {}
        self._asked: dict[int, int] = {}
        # Names of the update ops that the program got by graph; None once it has the list itself.
        self._collected: dict[int, set[str] | None] = {}
        # The scopes that it asked with, in their order; None for none.
        self._scopes: dict[int, dict[str | None, None]] = {}
        self._flags: dict[Key, str] = {}
        self._false_flags: dict[Key, None] = {}

    def note(
        self,
        key: Key,
        output: str,
        moves: bool,
        trainable: bool,
        in_function: bool,
        updates: set[str],
        flag: str,
        reads: bool,
    ) -> None:
        """Takes note of a call.

        Args:
          key: the layer.
          output: name of the op that the caller gets.
          moves: whether the call has updates, or moves the averages with its outputs.
          trainable: what the layer was told.
          in_function: whether it was built in the graph of a function.
          updates: names of the ops in UPDATE_OPS that move the mean.
          flag: name of the placeholder that says whether a run trains; "" if there is none.
          reads: whether a run may normalize by the averages.
        """
        number = key[0]
        if reads:
            self._wanted.add(key[1])
        self.built.setdefault(key, len(self.built))
        self._outputs[number, output] = key
        if moves:
            self._moving.setdefault(key, set()).update(updates)
        if not trainable:
            self._frozen.add(key)
        if in_function:
            self._hidden.add(key)
        if flag and moves and key not in self._flags:
            self._flags[key] = flag
            self._false_flags[number, flag] = None

    def collect(self, number: int, names: set[str] | None, scope: str | None = None) -> None:
        """Takes note of what the program got of a graph's UPDATE_OPS; None for the list itself."""
        self._asked[number] = len(self.built)
        self._scopes.setdefault(number, {})[scope] = None
        before = self._collected.get(number, set())
        self._collected[number] = None if names is None or before is None else before | names

    def execute(self, number: int, executed: Executed) -> None:
        """Takes note of a session run."""
        for key, names in self._moving.items():
            graph, mean = key
            # A debiased mean is assigned; it follows an average in a scope inside of its own.
            biased = f"{mean.rpartition('/')[0]}/{mean}/biased"
            ran = names & executed.ops or {mean, biased} & executed.moved
            if graph == number and ran:
                self._moved.add(key)
        if number in self._trained:
            # What a program restores behind its training, such as its best step, it made itself.
            given = executed.loaded - executed.restored
            self._given |= {(number, name) for name in given}
        else:
            self._loaded |= {(number, name) for name in executed.loaded}
        self._wanted |= executed.saved
        for (graph, output), key in self._outputs.items():
            if graph == number and output in executed.ops:
                self._used.add(key)
                if output in executed.trained_through:
                    self._trained_through.add(key)
        if executed.is_step or any(number == graph for graph, _ in self._trained_through):
            self._trained.add(number)

    def open_flags(self, number: int) -> list[str]:
        """The flags of a graph that were not True yet."""
        return [flag for graph, flag in self._false_flags if graph == number]

    def flag_was_true(self, number: int, flag: str) -> None:
        """Takes note that a run trains, or that nobody can know."""
        self._false_flags.pop((number, flag), None)

    def is_wanted(self, mean: str) -> bool:
        """Whether the averages of this name are read in any graph, or kept in a checkpoint."""
        return mean in self._wanted

    def is_hidden(self, key: Key) -> bool:
        """Whether a layer was built inside of a function."""
        return key in self._hidden

    def was_trained(self, number: int) -> bool:
        """Whether a session trained something in the graph of this number."""
        return number in self._trained

    def flag(self, key: Key) -> str:
        """The flag of a layer that was never True; "" if there is none."""
        name = self._flags.get(key, "")
        return name if (key[0], name) in self._false_flags else ""

    def outside(self, key: Key) -> tuple[str, ...]:
        """The name of an update op and the scopes that were asked, where none of them holds it."""
        scopes = list(self._scopes.get(key[0], ()))
        updates = self._moving.get(key, ())
        known = [scope for scope in scopes if isinstance(scope, str)]
        # As `tf.get_collection` does it.
        if len(known) < len(scopes) or any(re.match(s, name) for s in known for name in updates):
            return ()
        return (min(updates), *known) if known and updates else ()

    def state(self, key: Key) -> str:
        """Which of the states a layer is in."""
        if self.flag(key) and key[0] not in self._trained and key in self._used | self._moved:
            # The graph was evaluated alone, and nothing was to move.
            return NO_UPDATES
        if self.flag(key) and key in self._loaded:
            # Held still by the phase, as when a model is tuned that was trained elsewhere.
            return NO_UPDATES
        if key in self._moved:
            return FLAG_FALSE if self.flag(key) else MOVED
        if key not in self._moving:
            known = self._frozen | self._loaded | self._given
            return IDLE if key in self._trained_through - known else NO_UPDATES
        if key in self._given:
            return GIVEN
        if key in self._hidden:
            return HIDDEN
        return self._why_not(key) if key in self._used else UNUSED

    def _why_not(self, key: Key) -> str:
        number, updates = key[0], self._moving[key]
        if not updates:
            return NOT_RUN
        if number not in self._asked:
            return NEVER_COLLECTED
        collected: Any = self._collected[number]
        if collected is None or updates & collected:
            return NOT_FETCHED
        is_early = self.built[key] >= self._asked[number] and not self.outside(key)
        return COLLECTED_EARLY if is_early else LEFT_OUT
