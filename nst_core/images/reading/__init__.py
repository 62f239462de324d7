"""Decoding: the bytes of a file -> an image that is ready to use; a large one piece by piece, reduced on the way.

decode          the entry point, for all formats
pieces          an image in pieces from top to bottom, as its decoder yields them
assembly        joining the pieces, reduced
tiff_rewriting  TIFFs that Pillow cannot read or misreads -> TIFFs that it reads
origin          what is carried over from a file to the result: its credits and its colour space
png_bands       a large PNG as small ones
tiff_bands      a large TIFF as small ones
unpacking       decompressing a limited number of bytes at a time, for `png_bands` and `tiff_bands`
jpeg2000        JPEG 2000 at a half, a quarter, ... of its size
reduction       the factor by which an image is reduced, and the check that decoding it fits the memory
"""
