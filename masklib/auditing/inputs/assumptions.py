"""What was assumed because the user did not say it: one sentence each, with the option that changes it."""

from collections.abc import Sequence

from masklib.auditing.inputs.batch import Batch
from masklib.auditing.inputs.content import Padding, Sketch
from masklib.auditing.inputs.grouping import Hint

WHERE = {"post": "after", "pre": "before"}


def of_made(sketches: Sequence[Sketch], padding: Padding) -> tuple[str, ...]:
    """Return what was assumed about made inputs.

    Args:
        sketches: what each of them is.
        padding: how they are padded.
    """
    of_each = [sentence for one in sketches if (sentence := _of_sketch(one, padding))]
    if not any(one.role.is_of_steps for one in sketches):
        return tuple(of_each)
    families = _of_families(sketches)
    return (*of_each, *families, f"padding stands {WHERE[padding.side]} the sequences (padding_side)")


def of_given(batch: Batch, hints: Sequence[Hint], pad: int | None, side: str | None) -> tuple[str, ...]:
    """Return what was assumed about given inputs.

    Args:
        batch: what they hold.
        hints: on each leaf.
        pad: the id that a mask of the model marks as padding; None if the user gave one, or no mask does.
        side: the side that the user gave; None if it was found.
    """
    found = [
        _of_lengths(leaf.name, "a mask is made from it")
        for leaf, hint in zip(batch.leaves, hints, strict=True)
        if hint.marks is not None
    ]
    if pad:
        found.append(f"ids are padded with {pad}, because the model's own mask marks it (pad_id)")
    sides = {group.side for group in batch.groups}
    if side is None and "pre" in sides:
        found.append("padding stands before the sequences, as most of the padding in the inputs does (padding_side)")
    return tuple(found)


def _of_sketch(one: Sketch, padding: Padding) -> str:
    """Return what was assumed about one made input; "" if there is nothing to say."""
    name, role = one.slot.name, one.role
    if role.kind == "lengths":
        return _of_lengths(name, role.why)
    if role.kind == "plain":
        return f"{name!r} is not a sequence, because {role.why} (give inputs, if it is padded)" if role.why else ""
    if role.kind == "mask":
        return f"{name!r} is a mask: True at valid steps (give inputs, if it is not)"
    if role.kind == "pairs":
        return f"{name!r} holds 0 or 1 for each pair of steps, padded along both axes (give inputs, if it holds other values)"
    if one.is_ids:
        rows = one.use.rows
        which = f"for an Embedding of {rows} rows" if rows else "small ones, because no Embedding gets them"
        return f"{name!r} holds ids, {which}, padded with {padding.ids} (pad_id, or give inputs)"
    pad = f"{padding.of_floats(one.use):g}"
    return f"{name!r} is a sequence of numbers, padded with {pad} (mask_value, or not_a_sequence={name!r})"


def _of_lengths(name: str, why: str) -> str:
    """Return the sentence that an input holds lengths."""
    return f"{name!r} holds the lengths of the sequences, because {why} (not_a_sequence={name!r})"


def _of_families(sketches: Sequence[Sketch]) -> list[str]:
    """Return which inputs are padded independently, if not all are padded together."""
    families = sorted({one.role.family for one in sketches if one.role.is_of_steps})
    if len(families) < 2:
        return []
    names = [[repr(one.slot.name) for one in sketches if one.role.is_of_steps and one.role.family == f] for f in families]
    each = "; ".join(", ".join(one) for one in names)
    return [f"padded independently, because the model accepts that: {each} (give inputs, if they are padded together)"]
