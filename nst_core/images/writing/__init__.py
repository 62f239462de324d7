"""A picture -> the bytes of its file, with metadata; and the metadata back.

    encode        levels -> bytes, in every format that is written
    deep_png      a PNG of 16 bits, which Pillow does not write
    picture_file  how a picture is kept: format, bits, colour space -> the levels that the file holds

This module imports nothing: its files take numpy.
"""
