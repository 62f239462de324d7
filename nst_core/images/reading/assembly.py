"""Pieces of a picture, from the top down, reduced and put below each other: as the whole would be reduced."""

from PIL import Image


class Assembly:
    """A picture in the making.

    Args:
        size: of all pieces together.
        factor: by which both sides are divided: each pixel becomes the mean of a square, weighted by an alpha.
        mode: of every piece.
    """

    def __init__(self, size: tuple[int, int], factor: int, mode: str) -> None:
        self._size, self._factor, self._mode = size, factor, mode
        self._picture: Image.Image | None = None
        self._rest: Image.Image | None = None
        self._at = 0

    def add(self, piece: Image.Image) -> None:
        """The next piece, of the full width."""
        if self._factor == 1:
            self._put(piece)
            return
        if self._rest is not None:
            piece = _stacked(self._rest, piece)
        whole = piece.height // self._factor * self._factor
        if whole:
            self._put(piece.crop((0, 0, piece.width, whole)).reduce(self._factor))
        self._rest = piece.crop((0, whole, piece.width, piece.height)) if whole < piece.height else None

    def finished(self) -> Image.Image:
        """The picture, when every piece was added."""
        if self._rest is not None:
            self._put(self._rest.reduce(self._factor))
            self._rest = None
        if self._picture is None:
            raise ValueError("a picture without a row")
        return self._picture

    def _put(self, rows: Image.Image) -> None:
        size = tuple(-(-side // self._factor) for side in self._size)
        if rows.size == size:
            self._picture = rows
            return
        if self._picture is None:
            self._picture = Image.new(self._mode, (size[0], size[1]))
        self._picture.paste(rows, (0, self._at))
        self._at += rows.height


def _stacked(upper: Image.Image, lower: Image.Image) -> Image.Image:
    both = Image.new(upper.mode, (upper.width, upper.height + lower.height))
    both.paste(upper, (0, 0))
    both.paste(lower, (0, upper.height))
    return both
