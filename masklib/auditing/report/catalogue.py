"""Every kind of finding: its code, what it means, why it happens and what to write instead.

Each has a model that shows it and the same model put right, in `masklib.auditing.report.examples`; a test audits both.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LEAK, RISK, NOTE = "leak", "risk", "note"
SEVERITIES = (LEAK, RISK, NOTE)  # from the worst on


@dataclass(frozen=True)
class Code:
    """A kind of finding.

    Attributes:
        code: stable name, such as "MSK101".
        title: what was found; "{where}" stands for the place.
        severity: "leak", a number that padding changes; "risk", what would change it; "note", good to know.
        why: how it comes.
        remedy: what to write instead.
    """

    code: str
    title: str
    severity: str
    why: str
    remedy: str

    @property
    def general(self) -> str:
        """The title, of no place in particular."""
        return self.title.format(where=_PLACES.get(self.code, _PLACES.get(self.code[:4], "a layer")))


_PLACES = {"MSK207": "`fit`", "MSK2": "the loss", "MSK3": "a metric", "MSK140": "an output", "MSK401": "BatchNormalization"}
_ALL = (
    Code(
        "MSK101",
        "the mask is lost at {where}",
        LEAK,
        "The layer does not hand masks on. Keras warns once, where the model is built, and what follows takes padded steps for "
        "data, unless a mask is handed to it.",
        "Compute the mask once (`mask = ids != 0`), set masked steps to 0 before the layer (`x * ops.cast(mask[..., "
        "None], x.dtype)`), and hand it to the next layer that uses one: `GlobalAveragePooling1D()(x, mask=mask)`, "
        "`LSTM(8)(x, mask=mask)`.",
    ),
    Code(
        "MSK102",
        "the mask is lost without a word at {where}",
        LEAK,
        "Operators and `keras.ops` functions make a new tensor, and the mask stays with the old one. Keras does not warn.",
        "Use the layer in place of the operator, such as `layers.Add()([x, y])` for `x + y`, or hand the mask to the "
        "layers behind by `mask=`.",
    ),
    Code(
        "MSK103",
        "{where} does not get the mask",
        LEAK,
        "Keras hands a mask to `call` by itself only where the layer has one tensor as its argument, or an argument for "
        "the mask of each. A recurrent layer that is given `initial_state` has two tensors: its mask is left out, without "
        "a warning, while its output still carries one.",
        "Hand it over: `mask = ids != 0`, then `LSTM(8)(x, initial_state=states, mask=mask)`. In a layer of your own name "
        "the arguments after the tensors: `call(self, x, y, x_mask=None, y_mask=None)`.",
    ),
    Code(
        "MSK104",
        "behind {where} every step counts as valid",
        LEAK,
        "`Concatenate` combines the masks of its inputs by OR, and an input without a mask counts as valid everywhere (Keras "
        "3.12 and newer; 3.4 to 3.11 raise where the batch size is free). So a masked and an unmasked input together have a mask "
        "that masks nothing.",
        "Hand the mask of the sequence to the layer behind: `LSTM(8)(merged, mask=ids != 0)`; or mask every input that is "
        "merged.",
    ),
    Code(
        "MSK105",
        "merging at {where} drops the mask",
        LEAK,
        "`Add`, `Multiply`, `Average` and their like drop the mask where one of their inputs has none, such as an "
        "embedding of positions. Keras does not warn.",
        "Hand the mask of the sequence to the layers behind, `mask=ids != 0`, or give every input that is merged the same mask.",
    ),
    Code(
        "MSK106",
        "no mask tells {where} about padding",
        LEAK,
        "Nothing in the model makes a mask, so padded steps are data.",
        "`Embedding(..., mask_zero=True)` for ids whose padding is 0, `Masking(mask_value)` for numbers; or leave padding "
        "out by computations of your own.",
    ),
    Code(
        "MSK107",
        "{where} lets padding through although it has the mask",
        LEAK,
        "The layer gets the mask and does not use it, or not for all that it computes.",
        "In `call(self, inputs, mask=None)` leave masked steps out of every sum *and* of every count: `sum(x * m) / "
        "maximum(sum(m), 1)`; in a softmax give them a logit of -1e9, along the axis of time.",
    ),
    Code(
        "MSK108",
        "the mask made at {where} does not mark the padding",
        LEAK,
        "A mask is made by comparing with one value, 0 for `mask_zero`. Padding that holds another one, such as a pad id "
        "of 1, or zeros that were scaled before `Masking`, is not found.",
        "Mask before anything changes the padding: `Masking` in front of scaling; or pad with the value that is compared "
        "with; or make the mask from the lengths and hand it over.",
    ),
    Code(
        "MSK109",
        "{where} takes the mask off its own input, and a merge behind it loses it",
        LEAK,
        "`MultiHeadAttention` removes the mask from the very tensor it is called with. In `Add()([x, attention(x, x)])`, "
        "the residual connection of every textbook, `Add` then finds x without a mask and hands none on: from the second "
        "block on padding is attended to. Keras does not warn.",
        "Normalize before attention: with `y = LayerNormalization()(x)` and `attention(y, y)`, x keeps its mask. Or hand "
        "the mask to every attention, `query_mask=mask, value_mask=mask`, and to what comes behind by `mask=mask`.",
    ),
    Code(
        "MSK110",
        "the mask made at {where} is inverted",
        LEAK,
        "The mask says True where padding is. Keras masks, and `attention_mask`, say True at steps that count.",
        "Write it the other way round: `mask = ids != 0`.",
    ),
    Code(
        "MSK112",
        "positions at {where} count padding",
        LEAK,
        "Steps are numbered from the first column on, so that padding in front of a sequence shifts the positions of its steps.",
        "Number valid steps only: `positions = ops.maximum(ops.cumsum(ops.cast(mask, 'int32'), axis=1) - 1, 0)`.",
    ),
    Code(
        "MSK113",
        "{where} takes the last step, which is padding in shorter sequences",
        LEAK,
        "Step -1 is the last valid step only of the longest sequence, or where padding stands in front.",
        "Let the recurrent layer return its last state: `return_sequences=False`, also within `Bidirectional`. Elsewhere take "
        "the last valid step: `n = ops.sum(ops.cast(mask, 'int32'), axis=1)`, then `ops.take_along_axis(x, n[:, None, None] - 1, "
        "axis=1)[:, 0]`.",
    ),
    Code(
        "MSK114",
        "{where} turns the steps round, and not their mask",
        LEAK,
        "`go_backwards=True` with `return_sequences=True` puts the steps out in reverse, the mask stays as it came. What follows "
        "takes padding for data and data for padding.",
        "Use `Bidirectional(layer)`, which turns both back, or turn the output round: `ops.flip(x, axis=1)`, and hand the mask "
        "to the next layer, `mask=ids != 0`.",
    ),
    Code(
        "MSK115",
        "{where} takes the largest value over padded steps too",
        LEAK,
        "A maximum over time takes no mask: a padded step wins where its value is the largest.",
        "Give padded steps a value that never wins: `GlobalMaxPooling1D()(ops.where(mask[..., None], x, -1e9))`.",
    ),
    Code(
        "MSK116",
        "{where} mixes padded steps into valid ones",
        LEAK,
        "The layer takes no mask and computes a step from its neighbours, so that what stands at padded steps enters valid ones.",
        "Set padded steps to 0 before it: `x = x * ops.cast(mask[..., None], x.dtype)`.",
    ),
    Code(
        "MSK119",
        "padding enters at {where}, and no mask explains it",
        LEAK,
        "The model has masks, and none that was tried makes the leak vanish, or the difference cannot be followed to one call.",
        "Look at what is computed there from the number of steps: a length, a position, or a mean over all of them, which "
        "becomes `ops.sum(x * mask, axis=1) / ops.maximum(ops.sum(mask, axis=1), 1)`.",
    ),
    Code(
        "MSK120",
        "the output depends on the other samples of the batch, from {where} on",
        LEAK,
        "Something is computed over the axis of the batch, so a sample has another result in other company.",
        "Compute over time or features: axis 0 is the batch. `LayerNormalization` in place of statistics of the batch.",
    ),
    Code(
        "MSK130",
        "the output depends on later steps, from {where} on",
        RISK,
        "The model has causal parts, so that a step's output should depend on earlier steps only, and another part that "
        "looks ahead.",
        '`use_causal_mask=True` in every attention, `padding="causal"` in every convolution, and no pooling or '
        "`Bidirectional` between them.",
    ),
    Code(
        "MSK140",
        "a sample of nothing but padding gives NaN at {where}",
        NOTE,
        "A mean over no valid step is 0 / 0. One such sample turns the loss of its batch, and then all weights, to NaN.",
        "Drop empty samples, or divide by `maximum(count, 1)` in place of `GlobalAveragePooling1D`.",
    ),
    Code(
        "MSK150",
        "{where} computes something else where it is compiled",
        LEAK,
        "`predict`, `evaluate` and `fit` compile the model, an ordinary call does not. Keras on TensorFlow compiles again for "
        "inputs of another length, then for any length: what a layer reads from the shape of its inputs may then be wrong. "
        "`TimeDistributed` takes as many steps as there are samples (Keras 3.15).",
        "Do without the layer where it is not needed: `Dense`, `LayerNormalization` and `Embedding` act on each step by "
        "themselves. Or pad every batch to one length, or compile with `run_eagerly=True`, which is slower.",
    ),
    Code(
        "MSK201",
        "{where} counts padded steps",
        LEAK,
        "Keras's losses leave out the steps that the mask of the predictions masks. Where the predictions carry none, "
        "what stands at padded steps is part of the loss, and more padding changes it.",
        "`masklib.losses`, such as `MaskedMeanSquaredError(mask_value=0.0)`, which find padding in the targets; or a mask that "
        "reaches the output; or sample weights of 0 at padded steps together with a loss that divides by them: "
        "`keras.losses.MeanSquaredError(reduction='mean_with_sample_weight')`, for the default divides by all steps.",
    ),
    Code(
        "MSK202",
        "{where} divides by padded steps",
        LEAK,
        "Padded steps add nothing to the sum but count in the mean: `mean(loss * mask)`. The loss shrinks with every step "
        "of padding.",
        "Divide by the number of valid steps: `sum(loss * mask) / maximum(sum(mask), 1)`, or take a loss of `masklib.losses`.",
    ),
    Code(
        "MSK203",
        "the gradient of {where} comes from padding",
        LEAK,
        "Outputs and loss leave padding out, the gradient does not: `where(mask, f(x), 0)` computes f at masked steps "
        "too, and a gradient of infinity times 0 is NaN.",
        "Select before f as well: `where(mask, f(where(mask, x, 1.0)), 0)`.",
    ),
    Code(
        "MSK204",
        "{where} depends on the batch size",
        NOTE,
        "`evaluate` and `fit` report the mean of the batches' means, weighted by samples and not by valid steps.",
        'Compare models by a metric that adds up steps: `weighted_metrics=[masklib.metrics.MaskedMean("mse")]`.',
    ),
    Code(
        "MSK205",
        "{where} of the model's own `test_step` counts padded steps",
        LEAK,
        "`evaluate` reports what `test_step` returns, and this one computes without a mask: `ops.mean((y - y_pred) ** 2)` is a "
        "mean over all steps, padded ones too.",
        "Leave padding out by a mask of your own: `m = ops.cast(x != 0, y_pred.dtype)`, then `ops.sum(errors * m) / "
        "ops.maximum(ops.sum(m), 1)`; or call `self.compute_loss(x, y, y_pred)`, which uses the mask of the predictions.",
    ),
    Code(
        "MSK206",
        "what {where} adds to the loss counts padded steps",
        LEAK,
        "An activity regularizer, or `add_loss`, looks at all that the layer puts out, padded steps too, whatever mask it "
        "carries.",
        "Let padded steps be 0 where they are regularized: `zero_output_for_mask=True` in a recurrent layer; elsewhere "
        "`layers.ActivityRegularization(l2=...)` of `x * ops.cast(mask[..., None], x.dtype)`. Or regularize weights, "
        "`kernel_regularizer`.",
    ),
    Code(
        "MSK207",
        "{where} trains by a loss that counts padded steps, unlike the model's own `test_step`",
        RISK,
        "`test_step` is of the model's own and leaves padding out; `train_step` is Keras's and trains by the loss that the model "
        "was compiled with, whose gradients change with more padding.",
        "Write `train_step` as `test_step` is written, or compile with a loss of `masklib.losses`.",
    ),
    Code(
        "MSK208",
        "{where} takes samples for steps",
        LEAK,
        "Targets (B, T) lack an axis of predictions (B, T, 1), so Keras drops the last one of the predictions and takes the mean "
        "over time: one loss a sample, (B,), which the mask (B, T) multiplies as if it were one a step. With as many samples as "
        "steps nothing warns; with other counts it raises.",
        "Give the targets the last axis, too: `y[..., None]`, (B, T, 1).",
    ),
    Code(
        "MSK301",
        "{where} counts padded steps",
        LEAK,
        "Of Keras's metrics only those that average a function use the mask (Keras 3.15); `Precision`, `Recall`, `AUC`, "
        "`F1Score`, `MeanIoU` and their like do not.",
        "Give them in `weighted_metrics`, and sample weights of 0 at padded steps; or `masklib.metrics.MaskedMean`.",
    ),
    Code(
        "MSK302",
        "{where} depends on the batch size",
        NOTE,
        "What the metric gives for a batch is averaged over batches by their samples, not by their valid steps.",
        "A metric that keeps sums and counts: `masklib.metrics.MaskedMean(function)`.",
    ),
    Code(
        "MSK303",
        "{where} depends on how far single batches are padded",
        RISK,
        "Within a batch Keras weights steps so that padded ones do not count; between batches each counts with its number of "
        "steps, padded ones too. So one batch that is padded further moves the mean over all of them.",
        'A metric that keeps sums and counts of valid steps: `weighted_metrics=[masklib.metrics.MaskedMean("mae")]`.',
    ),
    Code(
        "MSK304",
        "{where} is another number in `fit` than in `evaluate`",
        NOTE,
        "On JAX Keras's step of `fit` hands the predictions to metrics without their mask: what `fit` shows while it trains "
        "counts padded steps, what `evaluate` reports does not.",
        "Go by `evaluate`, or by `validation_data` in `fit`; or take `masklib.metrics.MaskedMean`, which is exact in both.",
    ),
    Code(
        "MSK401",
        "{where} counts padding in training",
        LEAK,
        "`BatchNormalization` takes its mean and variance over all steps where no mask reaches it. They are part of the "
        "trained model.",
        "Let the mask reach it: `BatchNormalization()(x, mask=mask)`; or `LayerNormalization`, which looks at one step.",
    ),
)

CODES: dict[str, Code] = {code.code: code for code in _ALL}


def source_of(code: str) -> tuple[str, str]:
    """Return the source of the model that shows a finding, and of the one put right, without importing Keras.

    Raises:
        KeyError: there is no such code.
    """
    file = "masks.py" if code.startswith("MSK1") else "training.py"
    text = (Path(__file__).parent / "examples" / file).read_text(encoding="utf-8")
    nodes = {node.name: node for node in ast.parse(text).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return _with_what_it_uses(f"{code.lower()}_failing", nodes, text), _with_what_it_uses(f"{code.lower()}_remedied", nodes, text)


def _with_what_it_uses(name: str, nodes: Mapping[str, ast.AST], text: str) -> str:
    """Return the source of a function, behind that of the functions and classes beside it that it uses."""
    needed: list[str] = []
    open_ = [name]
    while open_:
        needed.insert(0, open_.pop())
        used = {node.id for node in ast.walk(nodes[needed[0]]) if isinstance(node, ast.Name)}
        open_ += sorted(used.intersection(nodes).difference(needed, open_))
    return "\n\n\n".join(ast.get_source_segment(text, nodes[one]) or "" for one in needed)
