"""What a run may take: its time and its memory."""

from dataclasses import asdict, dataclass

from masklib.errors import ArgumentError

_YEARS_S = 10 * 365 * 86400.0
_MOST = {
    "timeout": _YEARS_S,
    "cell_timeout": _YEARS_S,
    "memory_bytes": 2**62,
}  # longer waits and larger sizes no system call takes


@dataclass(frozen=True)
class Limits:
    """What a run may take; one that takes more ends as "timeout", or as "died".

    Attributes:
        timeout: seconds for the whole notebook.
        cell_timeout: seconds for one cell.
        memory_bytes: of the kernel and the processes that it started together; None for no limit.

    Raises:
        ArgumentError: one is not a number above 0, or a time is longer than ten years.
    """

    timeout: float = 3600.0
    cell_timeout: float = 600.0
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is None and name == "memory_bytes":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _MOST[name]:
                told = f"{name} must be a number above 0, got {value!r}."
                msg = f"{told} Give at most {_MOST[name]:g}, or leave it out for the default, {getattr(Limits, name)}."
                raise ArgumentError(msg)


DEFAULT_LIMITS = Limits()
