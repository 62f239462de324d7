"""A picture at another size."""

from PIL import Image


def resize(picture: Image.Image, width: int, height: int) -> Image.Image:
    """`picture` at `width` x `height` pixels by Lanczos' filter; itself if it has that size already."""
    if picture.size == (width, height):
        return picture
    return picture.resize((width, height), Image.Resampling.LANCZOS)
