# SPDX-License-Identifier: Apache-2.0
"""Normalizations by elementary ops: from 1 / sqrt(variance + epsilon) to the output."""

from __future__ import annotations

from typing import Iterator, NamedTuple

from .affine import OFFSETS, Applied, renorm_of, tail_of
from .raw import Raw
from .reading.nodes import Node, Tensor, View, constant_shape, constant_values, shape_of
from .reading.statistics import Origin, Reduced, origin, reduced, training_side
from .reading.tracing import (
    PRODUCTS,
    back,
    parameter,
    parameter_among,
    scalar,
    step_back,
    terms,
)

_ADDITIONS = ("Add", "AddV2")
_QUOTIENTS = ("RealDiv", "Div")


class _Spread(NamedTuple):
    """The variance behind an anchor, and the tensors that it is the variance of."""

    tensor: Tensor
    epsilon: float
    origin: Origin
    sums: tuple[Reduced, ...]
    data: tuple[Tensor, ...]


def composed_normalizations(view: View, unread: list[str]) -> list[Raw]:
    """All of them; a variance of a batch whose use is not understood goes to `unread`."""
    found = []
    for node in list(view.nodes.values()):
        if node.op not in ("Rsqrt", "Sqrt", "Pow") or not node.inputs:
            continue
        spread = _spread(view, node)
        if spread is None:
            continue
        applied = _applied(view, node, spread)
        if applied is not None:
            found.append(_finished(view, node, spread, applied))
        elif node.op == "Rsqrt" and (spread.sums or len(spread.origin.parameters) == 1):
            unread.append(
                f"{node.name}: 1 / sqrt(variance + epsilon) of a batch, use not understood"
            )
    return found


def _spread(view: View, node: Node) -> _Spread | None:
    """The variance that `node` takes the root of; None if it is none of a batch."""
    if node.op == "Pow" and scalar(view, node.inputs[1]) != -0.5:
        return None
    total = view.node(back(view, node.inputs[0]))
    if total.op not in _ADDITIONS:
        return None
    values = [scalar(view, part) for part in total.inputs]
    if (values[0] is None) == (values[1] is None):
        return None
    variance = total.inputs[0 if values[1] is not None else 1]
    known = origin(view, variance)
    sums = [reduced(view, each) for each in known.reductions if each[1] == 0]
    squares = [each for each in sums if each.squared]
    if any(each.axes is not None and not each.over_batch for each in squares):
        return None
    # Moments from elsewhere, as those of several towers, may still be a fused op's.
    from_op = any(each[1] for each in known.reductions)
    if not (squares or from_op) and (len(known.parameters) != 1 or known.others or sums):
        return None
    if squares and not (known.switched or len(sums) > len(squares) or _centered(view, known)):
        return None
    epsilon = float(values[0] if values[0] is not None else values[1] or 0.0)
    data = tuple(dict.fromkeys(back(view, each.data, stop=False) for each in squares))
    return _Spread(variance, epsilon, known, tuple(squares), data)


def _centered(view: View, known: Origin) -> bool:
    """Whether the squares are of differences from a mean, which a mean of squares is not."""
    for each in known.reductions:
        inner = view.node(back(view, view.node(each).inputs[0]))
        if inner.op == "SquaredDifference":
            return True
        if inner.op in ("Square", "Mul"):
            return view.node(back(view, inner.inputs[0])).op == "Sub"
    return False


# -- the data ------------------------------------------------------------------------------------


def _applied(view: View, node: Node, spread: _Spread) -> Applied | None:
    factor, gamma, scale = (node.name, 0), None, None
    for _ in range(4):
        products = list(_products(view, factor, node.op == "Sqrt" and gamma is None))
        for product, other in products:
            applied = _on_data(view, product, other, spread)
            if applied is not None:
                return applied._replace(factor=factor, gamma=gamma, scale=scale)
        following = None
        for product, other in products:
            known = origin(view, other, 40)
            held = parameter_among(view, other, PRODUCTS)
            small = held is not None or "StopGradient" in _ops(view, other)
            if following is None and small and (held or known.reductions or known.parameters):
                following = (product.name, 0)
                gamma, scale = held if gamma is None else gamma, scale or other
        if following is None:
            return None
        factor = following
    return None


def _ops(view: View, tensor: Tensor) -> list[str]:
    return [view.node(part).op for part in terms(view, tensor, PRODUCTS)]


def _products(view: View, tensor: Tensor, divides: bool) -> Iterator[tuple[Node, Tensor]]:
    """The ops that multiply by `tensor`, in whatever shape, and what they multiply."""
    waiting = [tensor]
    while waiting:
        current = waiting.pop(0)
        for reader in view.readers(current):
            if reader.op in PRODUCTS and not divides:
                first, second = reader.inputs
                yield reader, (second if first == current else first)
            elif divides and reader.op in _QUOTIENTS and reader.inputs[1] == current:
                yield reader, reader.inputs[0]
            elif step_back(view, (reader.name, 0)) == current and len(waiting) < 8:
                waiting.append((reader.name, 0))


def _on_data(view: View, product: Node, other: Tensor, spread: _Spread) -> Applied | None:
    """`product` as the data's, if `other` is the batch, or the batch less its mean."""
    output, plain = (product.name, 0), back(view, other, stop=False)
    inner = view.node(plain)
    if inner.op == "Sub" and _is_mean(view, inner.inputs[1], spread):
        data, mean = inner.inputs
        if not spread.data or back(view, data, stop=False) in spread.data:
            return Applied(data, output, output, None, mean, True)
    if spread.data:
        if plain in spread.data:
            return Applied(other, output, output, None, None, False)
        return None
    if parameter(view, other) is not None or not _takes_shift(view, output):
        return None
    known = origin(view, other, 40)
    return Applied(other, output, output, None, None, False) if known.others else None


def _is_mean(view: View, tensor: Tensor, spread: _Spread) -> bool:
    known = origin(view, tensor, 60)
    return not known.others and bool(known.reductions or known.parameters)


def _takes_shift(view: View, output: Tensor) -> bool:
    """Whether something small is added to `output`, which is so of the data and of no gradient."""
    for reader in view.readers(output):
        if reader.op in OFFSETS and len(reader.inputs) == 2:
            other = reader.inputs[1 if reader.inputs[0] == output else 0]
            known = origin(view, other, 60)
            if not known.others and known.parameters:
                return True
    return False


def _finished(view: View, node: Node, spread: _Spread, applied: Applied) -> Raw:
    known = spread.origin
    tail = tail_of(view, applied, known)
    center = origin(view, tail.mean) if tail.mean is not None else None
    batch = known.reductions
    if batch and known.parameters and known.switched:
        phase = "switched"
    else:
        phase = "training" if batch else "inference"
    averaged = phase != "training"
    mean = center.parameters[0] if averaged and center and center.parameters else None
    variance = known.parameters[0] if averaged and known.parameters else None
    means = center.reductions if center is not None else frozenset()
    means = means or frozenset(each for each in batch if not _is_square(view, each))
    if not means:
        means = _plain_means(view, batch)
    return Raw(
        node.name,
        applied.data,
        tail.output,
        phase,
        known.switch if phase == "switched" else None,
        _channel_axes(view, spread, applied),
        "composed",
        spread.epsilon,
        tail.gamma,
        tail.beta,
        mean,
        variance,
        renorm_of(view, applied, tail, (tail.gamma, tail.beta, mean, variance)),
        means,
        batch - means if batch - means else batch,
        phase != "switched" or training_side(view, known),
    )


def _is_square(view: View, reduction: Tensor) -> bool:
    return reduction[1] == 0 and reduced(view, reduction).squared


def _plain_means(view: View, squares: frozenset[Tensor]) -> frozenset[Tensor]:
    """The means that squares were centered by."""
    found: set[Tensor] = set()
    for each in squares:
        if each[1]:
            continue
        inner = view.node(back(view, view.node(each).inputs[0]))
        if inner.op == "Square":
            inner = view.node(back(view, inner.inputs[0]))
        if inner.op in ("SquaredDifference", "Sub"):
            for part in inner.inputs:
                known = origin(view, part, 30)
                found.update(known.reductions if not known.others else ())
    return frozenset(found)


def _channel_axes(view: View, spread: _Spread, applied: Applied) -> tuple[int, ...] | None:
    shape = shape_of(view, applied.data)
    axes = next((each.axes for each in spread.sums if each.axes), None)
    if axes == (-1,):
        return (-1,) if shape is None else (len(shape) - 1,)
    if axes is not None:
        if shape is not None:
            return tuple(axis for axis in range(len(shape)) if axis not in axes)
        return (next(axis for axis in range(len(axes) + 1) if axis not in axes),)
    for tensor in (applied.factor, spread.tensor):
        node = view.node(tensor)
        if node.op == "Reshape":
            sizes = constant_values(view.node(back(view, node.inputs[1])))
            if sizes is not None and len(sizes) > 1:
                return tuple(axis for axis, size in enumerate(sizes) if size != 1) or None
    root = view.node(back(view, spread.tensor))
    held = constant_shape(root) or shape_of(view, (root.name, 0))
    if held is not None and len(held) > 1:
        return tuple(axis for axis, size in enumerate(held) if size != 1) or None
    return (-1,) if shape is None else (len(shape) - 1,)
