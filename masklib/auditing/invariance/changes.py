"""What is changed although it must make no difference, and what is then compared. The values are the words of reports."""

from enum import StrEnum


class Change(StrEnum):
    """A kind of change, in the order in which reports list them."""

    LONGER_PADDING = "longer padding"
    PADDED_CONTENT = "padded content"
    EMBEDDING_ROW = "embedding row"
    MASKED_CONTENT = "masked content"
    BATCH_MATES = "batch mates"
    NO_PADDING = "no padding"
    LATER_STEPS = "later steps"
    COMPILED = "compiled"

    @property
    def is_of_padding(self) -> bool:
        """Whether padding or its content is changed, and not other samples or steps."""
        return self not in (Change.BATCH_MATES, Change.LATER_STEPS, Change.COMPILED)


class Entry(StrEnum):
    """How padding gets into a loss or a metric."""

    OUTPUTS = "an output that leaks"
    ITSELF = "it counts padded steps"
    DIVISOR = "it divides by padded steps"
    SQUARE = "samples that are taken for steps"
    PENALTY = "what layers add to it"
    OWN_STEP = "the model's own step"
    BATCHES = "batches that are padded to different lengths"


class Quantity(StrEnum):
    """A kind of quantity that is compared, in the order in which reports list them."""

    OUTPUT = "output"
    LOSS = "loss"
    METRIC = "metric"
    GRADIENT = "gradient"
    STATISTICS = "statistics"
