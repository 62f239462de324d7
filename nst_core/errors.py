"""What can go wrong in the engine.

    NstError
    ├── OptionsError      an option that cannot be used with this backbone or picture
    ├── ShapeError        a tensor or picture of another shape or kind than the function takes
    ├── BadImage          bytes that are not a usable picture; `.reason` says why
    ├── WeightsError      no weights, or not the weights that were asked for: stops a whole run
    ├── DivergedError     the loss or the pastiche is no longer finite
    └── OutOfMemory       the device has too little memory for this pair

`kind` is the word for the results table; `retryable` says whether the same call may succeed later.
Every message says where, what was expected, what was found, and what to do.
"""

from typing import ClassVar

from nst_core.printable import printable


class NstError(Exception):
    """Base of every error this project raises on purpose."""

    kind: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __str__(self) -> str:
        """One line: the names and cells that a message quotes may hold anything."""
        return printable(super().__str__())


class OptionsError(NstError):
    """An option that cannot be used with this backbone or picture."""

    kind = "options"


class ShapeError(NstError):
    """A tensor of another shape, type or range, or a picture of another mode, than the function takes."""

    kind = "shape"


class BadImage(NstError):
    """Bytes that are not a usable picture.

    Attributes:
        name: which picture, as the user wrote it.
        reason: `too_large`, `too_many_pixels`, `too_small`, `too_elongated`, `truncated`, `not_an_image`,
            `unsupported_format`, `unsupported_mode` or `too_costly`: to decode it would take too much time or memory.
    """

    kind = "bad_image"

    def __init__(self, name: str, reason: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name, self.reason, self.message = name, reason, message

    def __reduce__(self) -> tuple[type["BadImage"], tuple[str, str, str]]:
        """Survive the trip out of a worker process: pickle would call `__init__` with one argument."""
        return type(self), (self.name, self.reason, self.message)


class WeightsError(NstError):
    """No weights, or not the weights that were asked for. Stops a whole run before its first pair."""

    kind = "weights"


class DivergedError(NstError):
    """The loss or the pastiche is no longer finite."""

    kind = "diverged"


class OutOfMemory(NstError):
    """The device has too little memory for this pair."""

    kind = "out_of_memory"
    retryable = True
