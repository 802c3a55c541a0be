"""Every kind of finding: its code, what it means, why it happens and what to write instead.

Each has a model with this fault and the same model corrected, in `masklib.auditing.report.examples`; a test audits both.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LEAK, RISK, NOTE = "leak", "risk", "note"
SEVERITIES = (LEAK, RISK, NOTE)  # the worst first


@dataclass(frozen=True)
class Code:
    """A kind of finding.

    Attributes:
        code: stable name, such as "MSK101".
        title: what was found; "{where}" stands for the place.
        severity: "leak": padding changes a number; "risk": it may change one; "note": good to know.
        why: the cause.
        remedy: what to write instead.
    """

    code: str
    title: str
    severity: str
    why: str
    remedy: str

    @property
    def general(self) -> str:
        """The title without a particular place."""
        return self.title.format(where=_PLACES.get(self.code, _PLACES.get(self.code[:4], "a layer")))


_PLACES = {
    "MSK207": "`fit`",
    "MSK2": "the loss",
    "MSK3": "a metric",
    "MSK140": "an output",
    "MSK401": "BatchNormalization",
    "MSK501": "a recurrent layer",
}
_ALL = (
    Code(
        "MSK101",
        "the mask is lost at {where}",
        LEAK,
        "The layer does not pass its mask on. Keras warns once, when the model is built, and later layers treat padded steps as "
        "data, unless they are given a mask.",
        "Compute the mask once (`mask = ids != 0`), set masked steps to 0 before the layer (`x * ops.cast(mask[..., "
        "None], x.dtype)`), and pass the mask to the next layer that uses one: `GlobalAveragePooling1D()(x, mask=mask)`, "
        "`LSTM(8)(x, mask=mask)`.",
    ),
    Code(
        "MSK102",
        "the mask is lost without a warning at {where}",
        LEAK,
        "Operators and `keras.ops` functions return a new tensor without the mask of the old one. Keras does not warn.",
        "Use the layer in place of the operator, such as `layers.Add()([x, y])` for `x + y`, or pass the mask to the layers "
        "after it by `mask=`.",
    ),
    Code(
        "MSK103",
        "{where} does not get the mask",
        LEAK,
        "Keras passes a mask to `call` by itself only if the layer gets one tensor, or if `call` has an argument for the mask of "
        "each tensor. A recurrent layer with `initial_state` gets several tensors: it does not get the mask, and Keras does not "
        "warn, although the output still has a mask.",
        "Pass it: `mask = ids != 0`, then `LSTM(8)(x, initial_state=states, mask=mask)`. In your own layer, name the mask "
        "arguments after the tensors: `call(self, x, y, x_mask=None, y_mask=None)`.",
    ),
    Code(
        "MSK104",
        "after {where} every step counts as valid",
        LEAK,
        "`Concatenate` combines the masks of its inputs by OR, and an input without a mask counts as valid everywhere (Keras "
        "3.12 and newer; 3.4 to 3.11 raise if the batch size is not fixed). So a masked and an unmasked input together have a "
        "mask that is True everywhere.",
        "Pass the mask of the sequence to the layer after it: `LSTM(8)(merged, mask=ids != 0)`; or mask every input that is "
        "merged.",
    ),
    Code(
        "MSK105",
        "merging at {where} drops the mask",
        LEAK,
        "`Add`, `Multiply`, `Average` and similar layers drop the mask if one of their inputs has none, such as an "
        "embedding of positions. Keras does not warn.",
        "Pass the mask of the sequence to the layers after it, `mask=ids != 0`, or give all merged inputs the same mask.",
    ),
    Code(
        "MSK106",
        "{where} uses padded steps, and no mask marks them",
        LEAK,
        "Nothing in the model makes a mask, so padded steps are treated as data.",
        "`Embedding(..., mask_zero=True)` for ids whose padding is 0, `Masking(mask_value)` for numbers; or leave padding "
        "out in your own computations.",
    ),
    Code(
        "MSK107",
        "{where} lets padding through although it gets the mask",
        LEAK,
        "The layer gets the mask and does not use it, or not for everything that it computes.",
        "In `call(self, inputs, mask=None)` leave masked steps out of every sum *and* of every count: `sum(x * m) / "
        "maximum(sum(m), 1)`; in a softmax give them a logit of -1e9, along the time axis.",
    ),
    Code(
        "MSK108",
        "the mask made at {where} does not mark the padding",
        LEAK,
        "A mask is made by comparing with one value, 0 for `mask_zero`. Padding that holds another value, such as a pad id "
        "of 1, or zeros that were scaled before `Masking`, is not found.",
        "Mask before anything changes the padding: `Masking` before scaling; or pad with the value that the layer compares "
        "with; or make the mask from the lengths and pass it.",
    ),
    Code(
        "MSK109",
        "{where} removes the mask from its own input, and a merging layer after it has none",
        LEAK,
        "`MultiHeadAttention` removes the mask from the tensor with which it is called. In `Add()([x, attention(x, x)])`, the "
        "usual residual connection, `Add` then gets x without a mask and passes none on: from the second block on, attention "
        "uses padding. Keras does not warn.",
        "Normalize before attention: with `y = LayerNormalization()(x)` and `attention(y, y)`, x keeps its mask. Or pass "
        "the mask to every attention layer, `query_mask=mask, value_mask=mask`, and to the layers after it by `mask=mask`.",
    ),
    Code(
        "MSK110",
        "the mask made at {where} is inverted",
        LEAK,
        "The mask is True at padded steps. In Keras, masks and `attention_mask` are True at valid steps.",
        "Invert it: `mask = ids != 0`.",
    ),
    Code(
        "MSK112",
        "positions at {where} count padding",
        LEAK,
        "Steps are numbered from the first column on, so that padding before a sequence shifts the positions of its steps.",
        "Number valid steps only: `positions = ops.maximum(ops.cumsum(ops.cast(mask, 'int32'), axis=1) - 1, 0)`.",
    ),
    Code(
        "MSK113",
        "{where} takes the last step, which is padding in shorter sequences",
        LEAK,
        "Step -1 is the last valid step only in a sequence without padding after it.",
        "Let the recurrent layer return its last state: `return_sequences=False`, also in `Bidirectional`. In other cases take "
        "the last valid step: `n = ops.sum(ops.cast(mask, 'int32'), axis=1)`, then `ops.take_along_axis(x, n[:, None, None] - 1, "
        "axis=1)[:, 0]`.",
    ),
    Code(
        "MSK114",
        "{where} reverses the steps but not their mask",
        LEAK,
        "`go_backwards=True` with `return_sequences=True` returns the steps in reverse order, with the mask in the old order. "
        "Later layers then take padding for data and data for padding.",
        "Use `Bidirectional(layer)`, which restores the order, or reverse the output: `ops.flip(x, axis=1)`, and pass the mask "
        "to the next layer, `mask=ids != 0`.",
    ),
    Code(
        "MSK115",
        "{where} takes the maximum over padded steps, too",
        LEAK,
        "A maximum over time does not use a mask: it is the value of a padded step if that is the largest.",
        "Give padded steps a value that is never the largest: `GlobalMaxPooling1D()(ops.where(mask[..., None], x, -1e9))`.",
    ),
    Code(
        "MSK116",
        "{where} mixes padded steps into valid ones",
        LEAK,
        "The layer does not use a mask and computes each step from its neighbours, so that padded steps change valid ones.",
        "Set padded steps to 0 before it: `x = x * ops.cast(mask[..., None], x.dtype)`.",
    ),
    Code(
        "MSK119",
        "padding enters at {where}, and no mask explains it",
        LEAK,
        "The model has masks, and none that was tried removes the leak, or the difference cannot be followed to one call.",
        "Look at what is computed there from the number of steps: a length, a position, or a mean over all steps, which should "
        "be `ops.sum(x * mask, axis=1) / ops.maximum(ops.sum(mask, axis=1), 1)`.",
    ),
    Code(
        "MSK120",
        "the output depends on the other samples of the batch, from {where} on",
        LEAK,
        "Something is computed over the batch axis, so the result of a sample depends on the other samples.",
        "Compute over time or features: axis 0 is the batch. Use `LayerNormalization` in place of statistics of the batch.",
    ),
    Code(
        "MSK130",
        "the output depends on later steps, from {where} on",
        RISK,
        "The model has causal parts, so that the output at a step should depend on earlier steps only, and another part that "
        "uses later steps.",
        '`use_causal_mask=True` in every attention layer, `padding="causal"` in every convolution, and no pooling or '
        "`Bidirectional` between them.",
    ),
    Code(
        "MSK140",
        "a sample of only padding gives NaN at {where}",
        NOTE,
        "A mean over no valid step is 0 / 0. One such sample makes the loss of its batch NaN, and then all weights.",
        "Drop empty samples, or divide by `maximum(count, 1)` instead of using `GlobalAveragePooling1D`.",
    ),
    Code(
        "MSK150",
        "{where} computes something else when it is compiled",
        LEAK,
        "`predict`, `evaluate` and `fit` compile the model, an ordinary call does not. Keras on TensorFlow compiles again for "
        "inputs of another length, and then for any length: the shape that a layer reads from its inputs may then be wrong. "
        "`TimeDistributed` takes as many steps as there are samples (Keras 3.15).",
        "Leave the layer out if it is not needed: `Dense`, `LayerNormalization` and `Embedding` act on each step anyway. "
        "Or pad every batch to one length, or compile with `run_eagerly=True`, which is slower.",
    ),
    Code(
        "MSK201",
        "{where} counts padded steps",
        LEAK,
        "Keras's losses leave out masked steps of the predictions. If the predictions have no mask, padded steps are part of "
        "the loss, and more padding changes it.",
        "`masklib.losses`, such as `MaskedMeanSquaredError(mask_value=0.0)`, which find padding in the targets; or a mask that "
        "reaches the output; or sample weights of 0 at padded steps together with a loss that divides by their sum: "
        "`keras.losses.MeanSquaredError(reduction='mean_with_sample_weight')`, because the default divides by all steps.",
    ),
    Code(
        "MSK202",
        "{where} divides by padded steps",
        LEAK,
        "Padded steps add nothing to the sum but count in the mean: `mean(loss * mask)`. The loss becomes smaller with every "
        "padded step.",
        "Divide by the number of valid steps: `sum(loss * mask) / maximum(sum(mask), 1)`, or use a loss of `masklib.losses`.",
    ),
    Code(
        "MSK203",
        "the gradient of {where} comes from padding",
        LEAK,
        "Outputs and loss leave padding out, the gradient does not: `where(mask, f(x), 0)` computes f at masked steps, too, and "
        "infinity times 0 in the gradient is NaN.",
        "Use `where` before f as well: `where(mask, f(where(mask, x, 1.0)), 0)`.",
    ),
    Code(
        "MSK204",
        "{where} depends on the batch size",
        NOTE,
        "`evaluate` and `fit` report the mean of the batch means, weighted by samples and not by valid steps.",
        'Compare models by a metric that is exact over all batches: `weighted_metrics=[masklib.metrics.MaskedMean("mse")]`.',
    ),
    Code(
        "MSK205",
        "{where} in the model's own `test_step` counts padded steps",
        LEAK,
        "`evaluate` reports what `test_step` returns, and this one does not use a mask: `ops.mean((y - y_pred) ** 2)` is a mean "
        "over all steps, including padded ones.",
        "Leave padding out by your own mask: `m = ops.cast(x != 0, y_pred.dtype)`, then `ops.sum(errors * m) / "
        "ops.maximum(ops.sum(m), 1)`; or call `self.compute_loss(x, y, y_pred)`, which uses the mask of the predictions.",
    ),
    Code(
        "MSK206",
        "what {where} adds to the loss counts padded steps",
        LEAK,
        "An activity regularizer, or `add_loss`, uses the whole output of the layer, including padded steps, even if it has a "
        "mask.",
        "Set padded steps to 0 before they are regularized: `zero_output_for_mask=True` in a recurrent layer; in other layers "
        "`layers.ActivityRegularization(l2=...)` of `x * ops.cast(mask[..., None], x.dtype)`. Or regularize weights, "
        "`kernel_regularizer`.",
    ),
    Code(
        "MSK207",
        "{where} trains by a loss that counts padded steps, unlike the model's own `test_step`",
        RISK,
        "The model's own `test_step` leaves padding out. But `train_step` is Keras's own, and trains by the loss with which the "
        "model was compiled, whose gradients change with more padding.",
        "Override `train_step` like `test_step`, or compile with a loss of `masklib.losses`.",
    ),
    Code(
        "MSK208",
        "{where} takes samples for steps",
        LEAK,
        "Targets (B, T) have one axis less than predictions (B, T, 1), so Keras drops the last axis of the predictions and takes "
        "the mean over time: one loss per sample, (B,), which is multiplied by the mask (B, T) as if it were one per step. With "
        "as many samples as steps, Keras does not warn; otherwise it raises.",
        "Give the targets the last axis: `y[..., None]`, (B, T, 1).",
    ),
    Code(
        "MSK301",
        "{where} counts padded steps",
        LEAK,
        "Among Keras's metrics, only those that average a function use the mask (Keras 3.15); `Precision`, `Recall`, `AUC`, "
        "`F1Score`, `MeanIoU` and similar ones do not.",
        "Give them in `weighted_metrics`, with sample weights of 0 at padded steps; or use `masklib.metrics.MaskedMean`.",
    ),
    Code(
        "MSK302",
        "{where} depends on the batch size",
        NOTE,
        "The metric of each batch is averaged over batches with the number of samples as weight, not the number of valid steps.",
        "A metric that keeps sums and counts: `masklib.metrics.MaskedMean(function)`.",
    ),
    Code(
        "MSK303",
        "{where} depends on how much padding each batch has",
        RISK,
        "Within a batch, Keras weights steps so that padded ones do not count. But in the mean over batches, the weight of each "
        "batch is its number of steps, including padded ones. So more padding in one batch changes the mean over all batches.",
        'A metric that keeps sums and counts of valid steps: `weighted_metrics=[masklib.metrics.MaskedMean("mae")]`.',
    ),
    Code(
        "MSK304",
        "{where} differs between `fit` and `evaluate`",
        NOTE,
        "On JAX, `fit` passes the predictions to metrics without their mask: what `fit` shows during training counts padded "
        "steps, what `evaluate` reports does not.",
        "Use the numbers of `evaluate`, or those of `validation_data` in `fit`; or use `masklib.metrics.MaskedMean`, which is "
        "exact in both.",
    ),
    Code(
        "MSK401",
        "{where} counts padding in training",
        LEAK,
        "`BatchNormalization` computes its mean and variance over all steps if no mask reaches it. They are part of the "
        "trained model.",
        "Pass the mask to it: `BatchNormalization()(x, mask=mask)`; or use `LayerNormalization`, which uses one step at a time.",
    ),
    Code(
        "MSK501",
        "the next Keras hands no mask on after {where}",
        NOTE,
        "The nightly builds of the next Keras were measured: recurrent layers, `Bidirectional` and `TimeDistributed` use their "
        "mask, and hand none to the layers after them, nor to the loss. Padding then counts there.",
        "Write today what is right on both: give the mask itself to the layers that use it, `LSTM(8)(x, mask=ids != 0)`, and use "
        "a loss that finds padding in the targets, `masklib.losses.MaskedMeanSquaredError(mask_value=0)`. The numbers there: "
        "`masklib env create keras@nightly`, then `masklib audit model.keras --environment keras@nightly`.",
    ),
)

CODES: dict[str, Code] = {code.code: code for code in _ALL}


def source_of(code: str) -> tuple[str, str]:
    """Return the source of the model with a fault, and of the corrected one, without importing Keras.

    Raises:
        KeyError: there is no such code.
    """
    file = "masks.py" if code.startswith("MSK1") else "training.py"
    text = (Path(__file__).parent / "examples" / file).read_text(encoding="utf-8")
    nodes = {node.name: node for node in ast.parse(text).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return _with_what_it_uses(f"{code.lower()}_failing", nodes, text), _with_what_it_uses(f"{code.lower()}_remedied", nodes, text)


def _with_what_it_uses(name: str, nodes: Mapping[str, ast.AST], text: str) -> str:
    """Return the source of a function, after that of the functions and classes of the same file that it uses."""
    needed: list[str] = []
    open_ = [name]
    while open_:
        needed.insert(0, open_.pop())
        used = {node.id for node in ast.walk(nodes[needed[0]]) if isinstance(node, ast.Name)}
        open_ += sorted(used.intersection(nodes).difference(needed, open_))
    return "\n\n\n".join(ast.get_source_segment(text, nodes[one]) or "" for one in needed)
