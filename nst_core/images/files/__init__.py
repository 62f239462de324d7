"""What files are made of and how they begin, told without a pixel being decoded.

strip_metadata     a file without what says nothing about its pixels, its structure judged: `png`, `jpeg`, `gif`, `tiff`
formats  which formats are read; what bytes are that are none of them
boxes    those of HEIC, AVIF and JPEG 2000: which of them a file is, and what it says of its colours
credits  who made a picture, from its EXIF
parts    how many parts a file may have
"""
