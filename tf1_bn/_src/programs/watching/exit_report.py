# SPDX-License-Identifier: Apache-2.0
"""What `run` says of a program's layers, in sentences; no TensorFlow in here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterable, Mapping, Sequence

from ...files.text_table import counted, printable
from .layer_states import (
    COLLECTED_EARLY,
    FLAG_FALSE,
    HIDDEN,
    IDLE,
    LEFT_OUT,
    MOVED,
    NEVER_COLLECTED,
    NO_UPDATES,
    NOT_FETCHED,
    NOT_RUN,
    UNUSED,
)

if TYPE_CHECKING:
    # TensorFlow.
    from .watch import Watch

# Name, state and flag of a layer, as `Watch.layers` gives them.
Layer = Sequence[str]

MOST_NAMES = 6
_OTHERS = (
    " TensorFlow's own batch normalization works here, and is not watched; --force puts tf1_bn's "
    "in its place."
)
_COLLECT = "`with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):`"
# By state: why updates did not run and what to do; for one layer, and for several.
_CAUSES: Mapping[str, tuple[str, str]] = {
    NEVER_COLLECTED: (
        "the program never collected tf.GraphKeys.UPDATE_OPS. Make the train op inside of "
        f"{_COLLECT}, or by tf1_bn.minimize(optimizer, loss).",
    )
    * 2,
    COLLECTED_EARLY: (
        "tf.GraphKeys.UPDATE_OPS was collected before it was built. Collect it after the model "
        "is built.",
        "tf.GraphKeys.UPDATE_OPS was collected before they were built. Collect it after the "
        "model is built.",
    ),
    LEFT_OUT: (
        "tf.GraphKeys.UPDATE_OPS was collected, but without it. Look at the scope that it is "
        "collected with.",
        "tf.GraphKeys.UPDATE_OPS was collected, but without them. Look at the scope that it is "
        "collected with.",
    ),
    NOT_FETCHED: (
        "tf.GraphKeys.UPDATE_OPS was collected, but no session run fetched anything that depends "
        f"on its updates. Make the train op inside of {_COLLECT}.",
        "tf.GraphKeys.UPDATE_OPS was collected, but no session run fetched anything that depends "
        f"on their updates. Make the train op inside of {_COLLECT}.",
    ),
    NOT_RUN: ("no session run fetched anything that depends on them.",) * 2,
}


def report(watch: Watch, until: str = "") -> tuple[list[str], list[str]]:
    """What there is to say, and which mistakes, of what a watch has seen.

    Args:
      watch: of the program.
      until: what ended the program early, "the error" for example; "" for nothing. Then nobody
        knows what it would have run, and no mistakes are found.
    """
    layers = watch.layers()
    if not layers:
        others = _OTHERS if watch.originals_work() else ""
        return [f"{_before(until)}no batch-norm layer of tf1_bn was built.{others}"], []
    if not watch.sees_runs:
        built = counted(len(layers), "batch-norm layer")
        unknown = "this TensorFlow does not show what session runs execute"
        return [f"{_before(until)}{built} {_was(len(layers))} built; {unknown}."], []
    if until:
        return [summary(layers, until)], []
    return [summary(layers), *remarks(layers)], problems(layers)


def summary(layers: Sequence[Layer], until: str = "") -> str:
    """How many layers were built, and of how many the updates ran.

    Args:
      layers: all of the program.
      until: what ended the program early, "the error" for example; "" for nothing.

    >>> summary([("bn", "moved", "")])
    '1 batch-norm layer was built, and its updates ran.'
    >>> summary([("a", "moved", ""), ("b", "no updates", "")], until="the error")
    'before the error, 2 batch-norm layers were built; the updates of 1 ran, and 1 has none.'
    """
    built, ran = len(layers), sum(state in (MOVED, FLAG_FALSE) for _, state, _ in layers)
    without = sum(state in (IDLE, NO_UPDATES) for _, state, _ in layers)
    start = f"{_before(until)}{counted(built, 'batch-norm layer')} {_was(built)} built"
    if without == built:
        which = "it has" if built == 1 else "they have"
        return f"{start}; {which} no updates to run (training or trainable was False)."
    if ran == built:
        several = f"the updates of {'both' if built == 2 else f'all {built}'}"
        which = "its updates" if built == 1 else several
        return f"{start}, and {which} ran."
    said = [f"the updates of {ran or 'none'} ran"] if built > 1 else []
    if without:
        said.append(f"{without} {'has' if without == 1 else 'have'} none")
    return f"{start}; {', and '.join(said)}." if said else f"{start}."


def problems(layers: Sequence[Layer]) -> list[str]:
    """A sentence for each mistake: which layers, why, and what to do."""
    built = len(layers)

    def those(state: str) -> list[str]:
        return [name for name, found, _ in layers if found == state]

    said = [_did_not_run(those(state), built, causes) for state, causes in _CAUSES.items()]
    said.append(_idle(those(IDLE), built))
    for flag in dict.fromkeys(flag for _, state, flag in layers if state == FLAG_FALSE):
        names = [name for name, state, own in layers if state == FLAG_FALSE and own == flag]
        said.append(_never_true(names, built, flag))
    return [sentence for sentence in said if sentence]


def remarks(layers: Sequence[Layer]) -> list[str]:
    """Sentences on what is no mistake, or cannot be known."""
    unused = [name for name, state, _ in layers if state == UNUSED]
    hidden = [name for name, state, _ in layers if state == HIDDEN]
    said = []
    if unused:
        them = "it" if len(unused) == 1 else "them"
        built = f"{_subject(unused, len(layers))} {_was(len(unused))} built"
        said.append(f"{built}, but no session run used {them}.")
    if hidden:
        where = f"{_it(hidden)} {_was(len(hidden))} built inside of a function"
        said.append(f"nobody can see what runs of {_subject(hidden, len(layers))}: {where}.")
    return said


def _did_not_run(names: list[str], built: int, causes: tuple[str, str]) -> str:
    if not names:
        return ""
    cause = causes[len(names) > 1]
    return f"the updates of {_subject(names, built)} did not run: {cause}"


def _idle(names: list[str], built: int) -> str:
    if not names:
        return ""
    it = _it(names)
    return (
        f"{_subject(names, built)} {_was(len(names))} trained through, but called with "
        f"`training` False or left out: {it} {'has' if it == 'it' else 'have'} no updates, and "
        "normalized with averages that never moved. Pass training=True, or a tensor that is True "
        "in training."
    )


def _never_true(names: list[str], built: int, flag: str) -> str:
    return (
        f"the updates of {_subject(names, built)} ran and moved nothing, because "
        f"{printable(flag)} was False in every session run. Feed True for it in training."
    )


def _subject(names: list[str], built: int) -> str:
    """Which layers, of how many.

    >>> _subject(["bn"], 1), _subject(["bn"], 3), _subject(["a", "b"], 2)
    ('the layer bn', '1 of 3 layers (bn)', 'both layers (a and b)')
    """
    number = len(names)
    if built == 1:
        return f"the layer {printable(names[0])}"
    if number < built:
        return f"{number} of {built} layers ({listed(names)})"
    return f"{'both' if number == 2 else f'all {number}'} layers ({listed(names)})"


def listed(names: Iterable[str]) -> str:
    """The first few names, as one says them; a name that several graphs have comes once.

    >>> listed(["a"]), listed(["a", "b", "a"]), listed("abcdefgh")
    ('a', 'a and b', 'a, b, c, d, e, f and 2 more')
    """
    said = [printable(name) for name in dict.fromkeys(names)]
    if len(said) > MOST_NAMES + 1:
        said[MOST_NAMES:] = [f"{len(said) - MOST_NAMES} more"]
    return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)


def _it(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "they"


def _before(until: str) -> str:
    return f"before {until}, " if until else ""


def _was(number: int) -> str:
    return "was" if number == 1 else "were"
