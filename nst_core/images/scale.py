"""A picture at another size."""

from PIL import Image


def resize(
    picture: Image.Image,
    width: int,
    height: int,
    box: tuple[float, float, float, float] | None = None,
    *,
    by_area: bool = False,
) -> Image.Image:
    """`picture`, or the part of it in `box`, at `width` x `height` pixels by Lanczos' filter; itself if it is that.

    Args:
        picture: of any mode.
        width: in pixels.
        height: in pixels.
        box: left, upper, right, lower.
        by_area: each pixel the mean of what it stands for, as masks take it: Lanczos' filter leaves waves beside edges.
    """
    if picture.size == (width, height) and box is None:
        return picture
    return picture.resize((width, height), Image.Resampling.BOX if by_area else Image.Resampling.LANCZOS, box)
