# SPDX-License-Identifier: Apache-2.0
"""What `run` says of a program's layers, in sentences; no TensorFlow in here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterable, Sequence

from ...files.text_table import counted, printable
from .layer_states import FLAG_FALSE, HIDDEN, IDLE, MOVED, NO_UPDATES, UNUSED

if TYPE_CHECKING:
    # TensorFlow.
    from .watch import Watch

# Name, state and flag of a layer, as `Watch.layers` gives them.
Layer = Sequence[str]

MOST_NAMES = 6
# Of layers that are none of tf1_bn's, by what they look like.
_KINDS = {"by hand": " made by hand", "unknown": " of another kind"}
_OTHERS = (
    " TensorFlow's own batch normalization works here, and stays; --force puts tf1_bn's in its "
    "place."
)


def facts_of(watch: Watch, others: Sequence[tuple[str, str, str]], until: str = "") -> list[str]:
    """What there is to say of what a watch has seen, but for mistakes.

    Args:
      watch: of the program.
      others: name, state and library of layers in its graphs that are none of tf1_bn's.
      until: what ended the program early, "the error" for example; "" for nothing.
    """
    layers, said = watch.layers(), []
    if not layers and not others:
        hint = _OTHERS if watch.originals_work() else ""
        return [f"{_before(until)}no batch-norm layer of tf1_bn was built.{hint}"]
    if layers and not watch.sees_runs:
        built = counted(len(layers), "batch-norm layer")
        unknown = "this TensorFlow does not show what session runs execute"
        return [f"{_before(until)}{built} {_was(len(layers))} built; {unknown}."]
    if layers:
        said = [summary(layers, until), *([] if until else remarks(layers))]
    for library in dict.fromkeys(library for _, _, library in others):
        own = [(name, state, "") for name, state, its in others if its == library]
        said.append(summary(own, until, _KINDS.get(library, f" of {library}")))
    return said


def summary(layers: Sequence[Layer], until: str = "", kind: str = "") -> str:
    """How many layers were built, and of how many the updates ran.

    Args:
      layers: all of the program.
      until: what ended the program early, "the error" for example; "" for nothing.
      kind: which layers they are, with a space in front.

    >>> summary([("bn", "moved", "")])
    '1 batch-norm layer was built, and its updates ran.'
    >>> summary([("a", "moved", ""), ("b", "no updates", "")], until="the error")
    'before the error, 2 batch-norm layers were built; the updates of 1 ran, and 1 has none.'
    >>> summary([("bn", "flag false", "training:0")])
    '1 batch-norm layer was built; its updates ran and moved nothing.'
    """
    built, ran = len(layers), sum(state == MOVED for _, state, _ in layers)
    vain = sum(state == FLAG_FALSE for _, state, _ in layers)
    without = sum(state in (IDLE, NO_UPDATES) for _, state, _ in layers)
    things = f"{counted(built, 'batch-norm layer')}{kind}"
    start = f"{_before(until)}{things} {_was(built)} built"
    if without == built:
        which = "it has" if built == 1 else "they have"
        return f"{start}; {which} no updates to run (training or trainable was False)."
    if ran == built:
        several = f"the updates of {'both' if built == 2 else f'all {built}'}"
        which = "its updates" if built == 1 else several
        return f"{start}, and {which} ran."
    if built == 1:
        return f"{start}; its updates {'ran and moved nothing' if vain else 'did not run'}."
    said = [f"the updates of {ran or 'none'} ran"] if ran or vain < built - without else []
    if vain:
        said.append(f"those of {vain} ran and moved nothing")
    if without:
        said.append(f"{without} {'has' if without == 1 else 'have'} none")
    return f"{start}; {', and '.join(said)}."


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
