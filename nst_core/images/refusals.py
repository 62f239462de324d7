"""The limits on images, and the errors for images outside them: what was expected, what was found, what to do."""

from typing import Final

from nst_core.errors import BadImage

MAX_BYTES: Final = 500 * 1000 * 1000
"""The largest file, in bytes."""
MAX_PIXELS: Final = 300_000_000
"""The most pixels of an image."""
MIN_SIDE_PX: Final = 16
"""The shortest side, in pixels."""
MAX_RATIO: Final = 20
"""The largest ratio of the long to the short side."""
MAX_PROFILE_BYTES: Final = 10_000_000
"""The largest colour profile, in bytes; those of printing presses have up to some three million."""

# Phrases of the error messages.
PICTURE = "a JPEG, PNG, WebP, AVIF, HEIC, JPEG 2000, TIFF, GIF or BMP image"
DEPTH = "8 or 16 bits per channel"
CONVERT = "Save it as PNG or JPEG."
REPLACE = "Replace the file."
SHRINK = "Make it smaller."


def refused(name: str, reason: str, expected: str, found: str, advice: str) -> BadImage:
    """Return the error for an image that cannot be used."""
    return BadImage(name, reason, f"expected {expected}, found {found}. {advice}")


def damaged(name: str, kind: str, error: Exception | None) -> BadImage:
    """Return the error for a file that is damaged or incomplete."""
    detail = " ".join(str(error or "no image in it").split())
    return refused(name, "truncated", f"a whole {kind}", f"it cut short or damaged ({detail})", REPLACE)


def too_costly(name: str, limit: str, found: str) -> BadImage:
    """Return the error for a file that would take far more time or memory than its pixels are worth."""
    return refused(name, "too_costly", limit, found, "Open it in a paint program and save it again, as PNG or JPEG.")


def too_many_pixels(name: str, size: tuple[int, int], most: int) -> BadImage:
    """Return the error for an image with more pixels than allowed; fewer than `MAX_PIXELS` are an operator's limit."""
    width, height = size
    limit, found = f"at most {most / 1e6:g} megapixels", f"{width * height / 1e6:.1f} ({width} x {height})"
    return refused(name, "too_many_pixels" if most >= MAX_PIXELS else "over_limit", limit, found, SHRINK)


def check_bytes(size: int, name: str) -> None:
    """Refuse a file that is too large.

    Raises:
        BadImage: if it is; the message has the limit.
    """
    if size > MAX_BYTES:
        limit, found = f"at most {MAX_BYTES / 1e6:.0f} MB", f"{size / 1e6:.1f} MB"
        raise refused(name, "too_large", limit, found, SHRINK)


def check_size(size: tuple[int, int], name: str, most_pixels: int = MAX_PIXELS) -> None:
    """Refuse an image with too many or too few pixels, or too elongated.

    Raises:
        BadImage: if it is; the message has the limit.
    """
    width, height = size
    sides = f"{width} x {height}"
    if width * height > most_pixels:
        raise too_many_pixels(name, size, most_pixels)
    if min(size) < MIN_SIDE_PX:
        raise refused(name, "too_small", f"at least {MIN_SIDE_PX} pixels a side", sides, "Use a larger image.")
    if max(size) > MAX_RATIO * min(size):
        raise refused(name, "too_elongated", f"sides of at most {MAX_RATIO} to 1", sides, "Crop it.")
