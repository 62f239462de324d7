"""Encoding: an image -> the bytes of its file, with metadata; and reading the metadata back.

    encode        levels -> bytes, in every output format
    deep_png      PNGs of 16 bits per channel, which Pillow cannot write
    picture_file  format, bits and colour space of an output file; image -> the levels that it holds

This module imports nothing, because its modules import numpy.
"""
