"""The bytes of a file -> a picture that is ready to use; a large one piece by piece, reduced while it is decoded.

decode      the whole way, whatever the file
pieces      a picture in pieces from the top down, as its decoder gives them
assembly    pieces, reduced and put below each other
float_tiff  floating point numbers -> 16 bits
origin      what of a file may be carried on: its credits and its colour space
png_bands, tiff_bands   a large file as small ones: `unpacking` holds so many bytes at a time
jpeg2000    the same at a half, a quarter, ... of its size
reduction   by how much a picture is reduced, and whether it fits the memory
"""
