"""File formats of images: their signatures and structure, examined without decoding a pixel.

strip_metadata          removing what does not affect the pixels, and refusing files that are too costly to parse
png, jpeg, gif, tiff    the format-specific parts of `strip_metadata`
formats                 the formats that are read, and identifying files that are of none of them
boxes                   the boxes of HEIC, AVIF and JPEG 2000: which format a file is, and its declared colours
credits                 artist, copyright and description, from EXIF
parts                   the limit on the number of a file's parts
"""
