"""Joining the pieces of an image from top to bottom, reduced, with the same result as reducing the whole image."""

from PIL import Image


class Assembly:
    """An image that is being joined from pieces.

    Args:
        size: the size of all pieces together.
        factor: the divisor of both sides: each pixel becomes the mean of a square, weighted by the alpha, if any.
        mode: the mode of every piece.
    """

    def __init__(self, size: tuple[int, int], factor: int, mode: str) -> None:
        self._size, self._factor, self._mode = size, factor, mode
        self._picture: Image.Image | None = None
        self._remainder: Image.Image | None = None
        self._next_row = 0

    def add(self, piece: Image.Image) -> None:
        """Add the next piece, of the full width."""
        if self._factor == 1:
            self._paste_rows(piece)
            return
        if self._remainder is not None:
            piece = _stacked(self._remainder, piece)
        whole = piece.height // self._factor * self._factor
        if whole:
            self._paste_rows(piece.crop((0, 0, piece.width, whole)).reduce(self._factor))
        self._remainder = piece.crop((0, whole, piece.width, piece.height)) if whole < piece.height else None

    def finished(self) -> Image.Image:
        """Return the image, after every piece has been added."""
        if self._remainder is not None:
            self._paste_rows(self._remainder.reduce(self._factor))
            self._remainder = None
        if self._picture is None:
            raise ValueError("an image without a row")
        return self._picture

    def _paste_rows(self, rows: Image.Image) -> None:
        """Paste reduced rows below those that are already there."""
        size = tuple(-(-side // self._factor) for side in self._size)
        if rows.size == size:
            self._picture = rows
            return
        if self._picture is None:
            self._picture = Image.new(self._mode, (size[0], size[1]))
        self._picture.paste(rows, (0, self._next_row))
        self._next_row += rows.height


def _stacked(upper: Image.Image, lower: Image.Image) -> Image.Image:
    """Return two images joined vertically."""
    both = Image.new(upper.mode, (upper.width, upper.height + lower.height))
    both.paste(upper, (0, 0))
    both.paste(lower, (0, upper.height))
    return both
