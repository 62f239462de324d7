"""A picture at another size."""

from PIL import Image


def resize(
    picture: Image.Image, width: int, height: int, box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    """`picture`, or the part of it in `box`, at `width` x `height` pixels by Lanczos' filter; itself if it is that."""
    if picture.size == (width, height) and box is None:
        return picture
    return picture.resize((width, height), Image.Resampling.LANCZOS, box)
