"""What a user says about padding."""

from dataclasses import dataclass

from masklib.auditing.inputs.batch import SIDES
from masklib.checks import check_one_of


@dataclass(frozen=True, kw_only=True)
class PaddingSettings:
    """What a user says about padding, and the rest is found out.

    Attributes:
        pad_id: what padded ids hold.
        mask_value: what padded steps of floats hold; None: that of the Masking layer that gets them, else 0.
        padding_side: "post" or "pre"; None: found in the inputs, and "post" where they are made.
        target_pad: what padded steps of the targets hold; None: what the loss says, or what is customary.

    Raises:
        ArgumentError: there is no such side.
    """

    pad_id: int = 0
    mask_value: float | None = None
    padding_side: str | None = None
    target_pad: float | None = None

    def __post_init__(self) -> None:
        if self.padding_side is not None:
            check_one_of("padding_side", self.padding_side, SIDES)

    def pad_of_floats(self, of_masking: float | None) -> float:
        """Return what padded steps of floats hold.

        Args:
            of_masking: the value of the Masking layer that gets them; None if there is none.
        """
        if self.mask_value is not None:
            return self.mask_value
        return 0.0 if of_masking is None else of_masking


DEFAULT = PaddingSettings()  # of a user who says nothing
