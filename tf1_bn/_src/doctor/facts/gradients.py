# SPDX-License-Identifier: Apache-2.0
"""What a step trains that only fetches gradients: the program assigns the weights by itself."""

from __future__ import annotations

from os.path import commonprefix
from typing import Iterable, Iterator, NamedTuple

from ...discovery.found import Found, FoundCall
from ...discovery.reading.nodes import View, is_gradient, shape_of

# Of the gradient of a fused op: of the input, gamma and beta.
_MOST_OUTPUTS = 3


class Fetched(NamedTuple):
    """The gradients among ops that are fetched, and the gammas and betas that they are of."""

    gradients: tuple[str, ...]
    variables: frozenset[str]


def gradients_in(view: View, found: Found, names: Iterable[str]) -> Fetched:
    """The gradients among fetched ops that are fetched as `tf.gradients` gives them.

    Of one that is clipped or packed first nothing is known.
    """
    fetched = tuple(name for name in names if is_gradient(name))
    parts = {name: [f"/{part}" for part in _parts(view, name)] for name in fetched}
    of_layers: set[str] = set()
    for layer in found.layers if fetched else ():
        affine = {name for name in (layer.variables.gamma, layer.variables.beta) if name}
        scopes = {f"/{scope}/" for scope in map(scope_of, layer.calls) if scope}
        shapes = {shape_of(view, (name, 0)) for name in affine} - {None}
        if any(
            shape_of(view, (name, n)) in shapes
            for name in fetched
            if any(scope in part for scope in scopes for part in parts[name])
            for n in range(_MOST_OUTPUTS)
        ):
            of_layers |= affine
    return Fetched(fetched, frozenset(of_layers))


def _parts(view: View, name: str) -> Iterator[str]:
    """The op, and those that it adds up: one for each place where a variable is read."""
    yield name
    if view.nodes[name].op == "AddN":
        yield from (each[0] for each in view.nodes[name].inputs)


def scope_of(call: FoundCall) -> str:
    """The name scope of a call's ops; "" for none."""
    names = [call.output, *(update.op for update in call.updates)]
    return commonprefix([name.rpartition("/")[0] + "/" for name in names]).rpartition("/")[0]
