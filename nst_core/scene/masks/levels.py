"""What counts as black, white and an area of a mask; without torch, which a worker of the stub does not load."""

PURE = (4, 251)
"""The highest level that counts as black, and the lowest that counts as white: JPEG does not preserve the last few
levels."""

SMALLEST_SHARE = 0.002
"""Smallest share of a mask's area that makes a region; a colour on less is noise, or an edge."""
