"""The engine's exception hierarchy.

    NstError
    ├── OptionsError      an option that cannot be used with this backbone or image
    ├── ShapeError        a tensor or image whose shape or kind the function does not accept
    ├── BadImage          bytes that are not a usable image; `.reason` says why
    ├── WeightsError      missing weights, or weights other than those requested: stops a whole run
    ├── DivergedError     the loss or the pastiche is no longer finite
    └── OutOfMemory       the device has too little memory for this pair

`kind` is the error's name in the results table; `retryable` says whether the same call may succeed later. Every message
says where the error occurred, what was expected, what was found, and what to do.
"""

from typing import ClassVar

from nst_core.printable import printable


class NstError(Exception):
    """Base of every exception that this project raises deliberately."""

    kind: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __str__(self) -> str:
        """Return the message on one line; the file names and cells that it quotes may contain any character."""
        return printable(super().__str__())


class OptionsError(NstError):
    """Raised for an option that cannot be used with this backbone or image."""

    kind = "options"


class ShapeError(NstError):
    """Raised for a tensor of the wrong shape, type or value range, or an image of the wrong mode."""

    kind = "shape"


class BadImage(NstError):
    """Raised for bytes that are not a usable image.

    Attributes:
        name: the image's name as the user wrote it.
        reason: `too_large`, `too_many_pixels`, `too_small`, `too_elongated`, `truncated`, `not_an_image`,
            `unsupported_format`, `unsupported_mode` or `too_costly` (decoding would take too much time or memory);
            `missing_decoder` or `over_limit` if another installation, or an operator with other limits, takes it.
    """

    kind = "bad_image"

    def __init__(self, name: str, reason: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name, self.reason, self.message = name, reason, message

    @property
    def is_permanent(self) -> bool:
        """Whether the file alone is the cause, so that the same bytes are refused anywhere and at any time."""
        return self.reason not in ("missing_decoder", "over_limit")

    def __reduce__(self) -> tuple[type["BadImage"], tuple[str, str, str]]:
        """Support pickling out of a worker process; the default would call `__init__` with a single argument."""
        return type(self), (self.name, self.reason, self.message)


class WeightsError(NstError):
    """Raised if the weights are missing or are not those requested. It stops a whole run before its first pair."""

    kind = "weights"


class DivergedError(NstError):
    """Raised if the loss or the pastiche is no longer finite."""

    kind = "diverged"


class OutOfMemory(NstError):
    """Raised if the device has too little memory for this pair."""

    kind = "out_of_memory"
    retryable = True
