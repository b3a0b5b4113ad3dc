# SPDX-License-Identifier: Apache-2.0
"""BN100 and BN201 to BN203: what new TensorFlow does not have, and what brings it back."""

from __future__ import annotations

from typing import Iterator, NamedTuple, Sequence

from ..files.text_table import counted
from ..programs.old_names.heirs import HEIRS, sentence
from ..programs.old_names.neighbours import LAYERS, RNN_CELLS, names
from ..programs.old_names.tensorflow_names import ALL, homes_of
from .finding import Finding
from .source.facts import Facts, Use
from .source.norms import Norm, below, norm_of
from .source.tree import Tree
from .source.words import NORMS

ALIAS, NEIGHBOURS, CONTRIB = "--tf1-alias", "--neighbours", "--contrib"
_NEIGHBOURS = {
    *(f"layers.{name}" for name in names(LAYERS)),
    *(f"nn.rnn_cell.{name}" for name in names(RNN_CELLS)),
}
# Names that TensorFlow 2 shows below tensorflow.compat.v1 alone.
_TF1_NAMES = """
    AUTO_REUSE ConfigProto GPUOptions GraphKeys InteractiveSession Session add_to_collection
    all_variables app assign constant_initializer contrib disable_eager_execution
    disable_v2_behavior flags get_collection get_default_graph get_variable get_variable_scope gfile
    global_variables global_variables_initializer initialize_all_variables layers
    local_variables_initializer log logging losses metrics placeholder placeholder_with_default
    random_normal random_normal_initializer random_uniform reset_default_graph set_random_seed
    to_float to_int32 trainable_variables truncated_normal_initializer variable_scope
"""
_TF1_ONLY = frozenset(_TF1_NAMES.split())


class Fate(NamedTuple):
    """What became of a name: the option that brings it back, or a sentence where none does."""

    option: str
    text: str


def needs_of(norm: Norm) -> tuple[str, ...]:
    """The options of `run` without which a call stops on new TensorFlow."""
    inner = below(norm.name)
    if inner is None or norm.is_ours:
        return ()
    found = [CONTRIB] if inner.startswith("contrib.") else []
    is_plain = not any(name.startswith("tensorflow.compat.v1") for name in norm.call.names)
    return tuple([ALIAS] * (is_plain and inner.startswith("layers.")) + found)


def call_rules(tree: Tree) -> Iterator[Finding]:
    """A note for each call of batch normalization that is not tf1_bn's."""
    for facts in tree.files:
        for norm in map(norm_of, facts.calls):
            if norm is not None and not norm.is_ours:
                place = (facts.path, norm.call.line, norm.call.column)
                how = " ".join(("python -m tf1_bn run", *needs_of(norm)))
                kept = ", kept as a value," if norm.call.is_kept else ""
                yield Finding(*place, "BN100", f"{norm.name}{kept} works under `{how}`")


def name_rules(tree: Tree) -> Iterator[Finding]:
    """The names of a file that are gone: one finding for each, or for what one option brings."""
    for facts in tree.files:
        gone: dict[Fate, list[Use]] = {}
        for use in facts.uses:
            fate = _fate(use)
            if fate is not None:
                gone.setdefault(fate, []).append(use)
        for fate, uses in gone.items():
            tell = _brought_back if fate.option else _lost
            yield tell(facts, fate, uses)


def _fate(use: Use) -> Fate | None:
    """What became of a used name; None where it is there, or is batch normalization."""
    inner = [each for each in map(below, use.names) if each is not None]
    if len(inner) != len(use.names) or not inner:
        return None
    name = inner[0]
    words = name.split(".")
    if words[-1] in NORMS and words[0] in ("layers", "contrib", "python"):
        return None
    if ".".join(words[:2]) in _NEIGHBOURS or ".".join(words[:3]) in _NEIGHBOURS:
        return Fate(NEIGHBOURS, "")
    if words[0] in ("contrib", "estimator"):
        return _of_contrib(words)
    is_plain = all(each == "tensorflow" or not _is_v1(each) for each in use.names)
    if is_plain and (words[0] in _TF1_ONLY or name.startswith("train.") and _is_optimizer(words)):
        return Fate(ALIAS, "")
    return None


def _is_v1(name: str) -> bool:
    return name.startswith("tensorflow.compat.v1")


def _is_optimizer(words: Sequence[str]) -> bool:
    return words[-1].endswith("Optimizer") or words[-1] in ("Saver", "get_or_create_global_step")


def _of_contrib(words: Sequence[str]) -> Fate | None:
    if len(words) == 1:
        # Alone it says nothing: the names behind it do.
        return None
    for count in range(len(words), 0, -1):
        module = ".".join(words[:count])
        homes = homes_of(module)
        if homes:
            if count == len(words):
                return Fate(CONTRIB, "")
            full = f"{module}.{words[count]}"
            found = {name for listed in homes.values() for name in listed.split()}
            if words[count] in found or (ALL in found and full not in HEIRS):
                return Fate(CONTRIB, "")
            break
        if module in HEIRS:
            break
    # All before the sentence's colon is the name.
    return Fate("", sentence(".".join(words)).partition(": ")[2].rstrip("."))


def _lost(facts: Facts, fate: Fate, uses: Sequence[Use]) -> Finding:
    longest = max(uses, key=lambda use: len(use.names[0]))
    first = uses[0]
    text = f"{_shown(longest)} is gone, and tf1_bn does not bring it back: {fate.text}"
    return Finding(facts.path, first.line, first.column, "BN202", text)


def _brought_back(facts: Facts, fate: Fate, uses: Sequence[Use]) -> Finding:
    option = fate.option
    first = uses[0]
    place = (facts.path, first.line, first.column)
    if option == ALIAS:
        text = f"{_shown(first)} is TF1's: run it with {ALIAS}, or import tensorflow.compat.v1"
        return Finding(*place, "BN203", text)
    total = sum(use.times for use in uses)
    used = f", used {total} times," if total > len(uses) else ""
    slim = ", most of it from TF-Slim" if option == CONTRIB else ""
    if len(uses) == 1:
        text = f"{_shown(first)}{used} is gone: `run {option}` brings it back{slim}"
    else:
        others = counted(len(uses) - 1, "other name")
        text = f"{_shown(first)} and {others}{used} are gone: `run {option}` brings them back{slim}"
    return Finding(*place, "BN201", text)


def _shown(use: Use) -> str:
    return f"tf.{below(use.names[0])}"


def options_of(tree: Tree) -> list[str]:
    """The options of `run` that the files of a tree need together."""
    found: set[str] = set()
    for facts in tree.files:
        for norm in map(norm_of, facts.calls):
            found.update(needs_of(norm) if norm is not None else ())
        fates = [_fate(use) for use in facts.uses]
        found.update(fate.option for fate in fates if fate is not None and fate.option)
    return [option for option in (ALIAS, NEIGHBOURS, CONTRIB) if option in found]
