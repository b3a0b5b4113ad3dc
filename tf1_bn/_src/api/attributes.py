# SPDX-License-Identifier: Apache-2.0
"""A layer's public attributes: what it was told and has made, and constant answers to Keras."""

from __future__ import annotations

import dataclasses
import operator
from typing import Any, Callable, NoReturn

from ..objects.input_spec import InputSpec, check_is_spec
from ..plan.geometry import Geometry
from ..plan.kernel_choice import KernelChoice
from ..plan.spec import SPEC_FIELDS, BatchNormSpec, in_both_words
from ..runtime.tensorflow_v1 import tf
from ..settings import Named, config_of
from ..state.variables import BatchNormVariables
from .planning import SETTINGS


def _argument(name: str) -> Any:
    """A constructor argument as an attribute; setting it makes a new spec, which is validated."""

    def take(layer: Any, value: Any) -> None:
        layer._spec = dataclasses.replace(layer._spec, **{name: value})

    return property(operator.attrgetter(f"_spec.{name}"), take)


def _variable(name: str) -> Any:
    """A variable of the layer, None before it is built; a `build` of a subclass may set it."""

    def take(layer: Any, value: Any) -> None:
        if getattr(layer._vars, name) is None:
            layer._track(name, value)
        object.__setattr__(layer, "_vars", layer._vars._replace(**{name: value}))

    return property(operator.attrgetter(f"_vars.{name}"), take)


def _refusal(what: str) -> Callable[[Any, int], NoReturn]:
    def refuse(self: Any, node_index: int) -> NoReturn:
        """Raises RuntimeError: Keras' models do not call this layer."""
        raise RuntimeError(
            f"The layer has never been called and thus has no defined {what}: {self.name} is in no "
            f"model of Keras (got `node_index={node_index!r}`)."
        )

    refuse.__name__ = f"get_{what.replace(' ', '_')}_at"
    return refuse


class LayerAttributes:
    """The public attributes of a layer that has a spec and, once it is built, variables.

    To what Keras asks of a layer it answers as TF1 did for one that is in no model of Keras.
    """

    name: Any
    dtype: Any
    _spec: BatchNormSpec
    _geometry: Geometry | None
    # Before the layer is built, that of the class, which holds nothing.
    _vars = BatchNormVariables(None, None, None, None)
    _input_spec: Any

    momentum = _argument("momentum")
    epsilon = _argument("epsilon")
    center = _argument("center")
    scale = _argument("scale")
    beta_initializer = _argument("beta_initializer")
    gamma_initializer = _argument("gamma_initializer")
    moving_mean_initializer = _argument("moving_mean_initializer")
    moving_variance_initializer = _argument("moving_variance_initializer")
    beta_regularizer = _argument("beta_regularizer")
    gamma_regularizer = _argument("gamma_regularizer")
    beta_constraint = _argument("beta_constraint")
    gamma_constraint = _argument("gamma_constraint")
    renorm = _argument("renorm")
    renorm_clipping = _argument("renorm_clipping")
    renorm_momentum = _argument("renorm_momentum")
    virtual_batch_size = _argument("virtual_batch_size")
    adjustment = _argument("adjustment")

    gamma = _variable("gamma")
    beta = _variable("beta")
    moving_mean = _variable("moving_mean")
    moving_variance = _variable("moving_variance")
    moving_stddev = _variable("moving_stddev")
    renorm_mean = _variable("renorm_mean")
    renorm_stddev = _variable("renorm_stddev")

    @property
    def axis(self) -> Any:
        """As given before the layer is built, then a list of non-negative ints.

        With virtual batches each is one larger, as TF1 counts the ghost axis.
        """
        if self._geometry is None:
            return self._spec.axis
        shift = int(self.virtual_batch_size is not None)
        return [axis + shift for axis in self._geometry.channel_axes]

    @axis.setter
    def axis(self, value: Any) -> None:
        self._spec = dataclasses.replace(self._spec, axis=value)

    @property
    def fused(self) -> bool:
        """Whether the fused kernel is wanted or, once the layer is built, used."""
        if self._geometry is None:
            return self._spec.fused is None or bool(self._spec.fused)
        return self._choose(self._geometry).fused

    @fused.setter
    def fused(self, value: bool | None) -> None:
        self._spec = dataclasses.replace(self._spec, fused=value)

    @property
    def kernel(self) -> KernelChoice | None:
        """The kernel and the reason it was chosen for; None before the layer is built."""
        return None if self._geometry is None else self._choose(self._geometry)

    def _choose(self, geometry: Geometry) -> KernelChoice:
        """The kernel for an input of this geometry."""
        raise NotImplementedError

    @property
    def input_spec(self) -> Any:
        """The rank and the channel sizes that the layer was built for, or what was set."""
        if self._geometry is None or self._input_spec is not None:
            return self._input_spec
        shape = self._geometry.input_shape
        return InputSpec(
            ndim=len(shape), axes={axis: shape[axis] for axis in self._geometry.channel_axes}
        )

    @input_spec.setter
    def input_spec(self, value: Any) -> None:
        check_is_spec(value)
        self._input_spec = value

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as TF1 lists them; `from_config` takes them.

        Regularizers, constraints and initializers that are no TensorFlow objects stand as they are.
        """
        spec = self._spec
        config = {name: getattr(spec, name) for name in SPEC_FIELDS}
        for name in SETTINGS:
            if name.endswith("_initializer") or isinstance(config[name], Named):
                config[name] = config_of(config[name])
        if self._geometry is not None:
            # TF1 lists the resolved axes, but counts a ghost axis that no input has.
            config["axis"] = list(self._geometry.channel_axes)
        optional = ("renorm", "renorm_clipping", "renorm_momentum") if not spec.renorm else ()
        unset = [k for k in ("fused", "virtual_batch_size", "adjustment") if config[k] is None]
        kept = {key: config[key] for key in config if key not in optional and key not in unset}
        if spec.renorm:
            kept["renorm_clipping"] = spec.clipping
        return {"name": self.name, "dtype": self.dtype, **kept}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A new, unbuilt layer from what `get_config` returned."""
        return cls(**config)

    def __repr__(self) -> str:
        state = "not built" if self.kernel is None else str(self.kernel)
        given = ", ".join(
            f"{field.name}={getattr(self._spec, field.name)!r}"
            for field in dataclasses.fields(self._spec)
            if not field.name.endswith("_initializer")
            and repr(getattr(self._spec, field.name)) != repr(field.default)
        )
        return f"<{type(self).__name__} {self.name!r} ({given}), {state}>"

    # -- what Keras asks ---------------------------------------------------------------------------

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
