"""Attention that users write themselves, wrong and right."""

from typing import Any

from keras import layers, ops

from tests.zoo.custom import KeepsMask, KeepsShape, register


@register
class GuideTemporalSoftmax(KeepsMask):
    """The guide's layer: it promises a softmax over time, and divides by the sum over features."""

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return what the guide returns."""
        exps = ops.exp(inputs) * ops.expand_dims(ops.cast(mask, "float32"), axis=-1)
        return exps / ops.sum(exps, axis=-1, keepdims=True)


@register
class SoftmaxOverTime(KeepsMask):
    """A softmax over all steps that passes the mask on and does not use it."""

    def call(self, x: Any) -> Any:
        """Return the shares."""
        return ops.softmax(x, axis=1)


@register
class WeightedSum(KeepsShape):
    """[x (B, T, F), weights (B, T, 1)] -> (B, F), over all steps."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Return the sum."""
        x, weights = inputs
        return ops.sum(x * weights, axis=1)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """No step is left to mask."""
        return None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (B, F)."""
        return (input_shape[0][0], input_shape[0][2])


@register
class OwnAttention(KeepsShape):
    """Self-attention of x (B, T, F) with a mask (B, T), in one of several ways.

    Args:
        how: "right", "none", "inverted" (valid steps are left out), "queries" (the mask along the wrong axis), "after" (shares
            set to zero after the softmax), "renormalized" (and divided by what is left).
        bias: what is added to the scores of masked keys.
        causal: whether later steps are left out.
    """

    def __init__(self, how: str = "right", bias: float = -1e9, causal: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.how, self.bias, self.causal = how, bias, causal

    def build(self, input_shape: Any) -> None:
        """Make the projections."""
        n_features = input_shape[0][-1]
        self.query, self.key, self.value = (layers.Dense(n_features, name=name) for name in ("query", "key", "value"))
        for dense in (self.query, self.key, self.value):
            dense.build(tuple(input_shape[0]))

    def call(self, inputs: Any) -> Any:
        """Return what each step attends to."""
        x, mask = inputs
        scores = ops.matmul(self.query(x), ops.transpose(self.key(x), (0, 2, 1))) / float(x.shape[-1]) ** 0.5
        shares = ops.softmax(scores + self._bias_of(mask, x), axis=-1)
        if self.how in ("after", "renormalized"):
            shares = shares * ops.cast(mask, x.dtype)[:, None, :]
        if self.how == "renormalized":
            shares = shares / ops.maximum(ops.sum(shares, axis=-1, keepdims=True), 1e-9)
        return ops.matmul(shares, self.value(x))

    def _bias_of(self, mask: Any, x: Any) -> Any:
        """Return what is added to the scores (B, T, T)."""
        valid = ops.cast(mask, x.dtype)
        masked = {"right": 1.0 - valid, "inverted": valid, "queries": 1.0 - valid}.get(self.how, 0.0 * valid)
        along = masked[:, :, None] if self.how == "queries" else masked[:, None, :]
        if not self.causal:
            return along * self.bias
        steps = ops.arange(ops.shape(x)[1])
        later = ops.cast(steps[None, :] > steps[:, None], x.dtype)
        return along * self.bias + later[None] * -1e9

    def get_config(self) -> dict[str, Any]:
        """Return what the layer is made of."""
        return {**super().get_config(), "how": self.how, "bias": self.bias, "causal": self.causal}
