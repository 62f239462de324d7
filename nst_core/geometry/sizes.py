"""Integer arithmetic of image sizes: the sizes of the pastiche and the style image. No torch."""


def fit_long_edge(width: int, height: int, long_edge: int) -> tuple[int, int]:
    """Scale (width, height) so that the longer side is `long_edge`; the other is rounded, and at least 1.

    >>> fit_long_edge(640, 427, 512)
    (512, 342)
    """
    longest = max(width, height)
    return tuple(max(1, _divide_rounded(side * long_edge, longest)) for side in (width, height))  # type: ignore[return-value]  # two sides


def pastiche_size(width: int, height: int, size_px: int, *, enlarge: bool) -> tuple[int, int]:
    """Return a pastiche's (width, height): long edge `size_px`, or the content image's own if that is smaller.

    >>> pastiche_size(300, 200, 512, enlarge=False)
    (300, 200)
    >>> pastiche_size(300, 200, 512, enlarge=True)
    (512, 341)
    """
    longest = max(width, height)
    return fit_long_edge(width, height, size_px if enlarge else min(size_px, longest))


def style_size(width: int, height: int, pastiche: tuple[int, int], style_scale: float) -> tuple[int, int]:
    """Return the (width, height) at which a style image is used: its long edge is `style_scale` times the pastiche's.

    A small style image is enlarged, so that the size of its strokes in the pastiche does not depend on the file's size.

    >>> style_size(1000, 500, (512, 300), 0.5)
    (256, 128)
    """
    return fit_long_edge(width, height, max(1, round(max(pastiche) * style_scale)))


def smallest_side(layer: str) -> int:
    """Return the shortest side in pixels that still leaves one position at a layer: each block halves the side.

    >>> smallest_side("relu5_1")
    16
    """
    halvings = int(layer[4]) - (0 if layer.startswith("pool") else 1)
    return 1 << halvings


def _divide_rounded(numerator: int, denominator: int) -> int:
    """Divide, rounding to nearest and halves up; in integers only, so that every machine gets the same result."""
    return (2 * numerator + denominator) // (2 * denominator)
