# SPDX-License-Identifier: Apache-2.0
"""The answers to what Keras asks of a layer, of one that is in no model of Keras."""

from __future__ import annotations

from typing import Any, Callable, NoReturn

from ..plan.spec import in_both_words
from ..runtime.tensorflow_v1 import tf


def _refusal(what: str) -> Callable[[Any, int], NoReturn]:
    def refuse(self: Any, node_index: int) -> NoReturn:
        """Raises RuntimeError: Keras' models do not call this layer."""
        raise RuntimeError(
            f"The layer has never been called and thus has no defined {what}: {self.name} is in no "
            f"model of Keras (got `node_index={node_index!r}`)."
        )

    refuse.__name__ = f"get_{what.replace(' ', '_')}_at"
    return refuse


class Unconnected:
    """TF1's answers of a layer that only builds ops: constant ones, and no node of a model."""

    name: Any
    dtype: Any
    dynamic = False
    stateful = False
    supports_masking = True

    graph = property(lambda self: None, doc="None: a layer of TF1 no longer tells its graph.")
    metrics = property(lambda self: [], doc="None are kept: `tf.metrics` makes them in a graph.")
    inbound_nodes = property(lambda self: [])
    outbound_nodes = property(lambda self: [])

    @property
    def input(self) -> NoReturn:
        raise AttributeError(f"Layer {self.name} is not connected, no input to return.")

    input_mask = input

    @property
    def output(self) -> NoReturn:
        raise AttributeError(f"Layer {self.name} has no inbound nodes.")

    output_mask = output

    @property
    def input_shape(self) -> NoReturn:
        raise AttributeError("The layer has never been called and thus has no defined input shape.")

    @property
    def output_shape(self) -> NoReturn:
        raise AttributeError(
            "The layer has never been called and thus has no defined output shape."
        )

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the output: that of the input."""
        return mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output: that of the input, as it was given."""
        return input_shape

    def compute_output_signature(self, input_signature: Any) -> Any:
        """The `tf.TensorSpec` of the output for that of an input.

        Raises:
          TypeError: `input_signature` is no `tf.TensorSpec`.
        """
        if not isinstance(input_signature, tf.TensorSpec):
            raise in_both_words(
                TypeError,
                f"`input_signature` must be a tf.TensorSpec (got {input_signature!r}).",
                "Only TensorSpec signature types are supported",
            )
        shape = self.compute_output_shape(input_signature.shape)
        return tf.TensorSpec(shape, self.dtype or input_signature.dtype)

    get_input_at = _refusal("input")
    get_input_mask_at = _refusal("input mask")
    get_input_shape_at = _refusal("input shape")
    get_output_at = _refusal("output")
    get_output_mask_at = _refusal("output mask")
    get_output_shape_at = _refusal("output shape")
