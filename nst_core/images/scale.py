"""Resizing an image."""

from PIL import Image


def resize(
    picture: Image.Image,
    width: int,
    height: int,
    box: tuple[float, float, float, float] | None = None,
    *,
    by_area: bool = False,
) -> Image.Image:
    """Return `picture`, or its part in `box`, resized to `width` x `height` pixels.

    An image that already has this size is returned as it is.

    Args:
        picture: an image of any mode.
        width: in pixels.
        height: in pixels.
        box: left, upper, right, lower edge of the part to resize.
        by_area: whether each pixel is the mean of the area it covers, as masks need, instead of the result of Lanczos'
            filter, which rings next to edges.
    """
    if picture.size == (width, height) and box is None:
        return picture
    return picture.resize((width, height), Image.Resampling.BOX if by_area else Image.Resampling.LANCZOS, box)
