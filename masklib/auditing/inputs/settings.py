"""What a user says about padding."""

from dataclasses import dataclass

from masklib.auditing.inputs.batch import SIDES
from masklib.checks import check_one_of


@dataclass(frozen=True, kw_only=True)
class PaddingSettings:
    """What a user says about padding; the rest is found.

    Attributes:
        pad_id: what padded ids hold; None: the id that the model's own mask marks, else 0.
        mask_value: what padded steps of floats hold; None: that of the Masking layer that gets them, else 0.
        padding_side: "post" or "pre"; None: found in the inputs, and "post" where they are made.
        target_pad: what padded steps of the targets hold; None: the value that the loss ignores, or a usual one.
        not_a_sequence: names of inputs that are never padded.

    Raises:
        ArgumentError: the side is neither "post" nor "pre".
    """

    pad_id: int | None = None
    mask_value: float | None = None
    padding_side: str | None = None
    target_pad: float | None = None
    not_a_sequence: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.padding_side is not None:
            check_one_of("padding_side", self.padding_side, SIDES)


DEFAULT = PaddingSettings()  # the user says nothing
