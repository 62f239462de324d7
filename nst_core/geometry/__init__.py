"""Integer sizes: of images, of their pyramid levels, and of the tiles and strips in which they are processed.

sizes    the sizes of the pastiche and the style image
levels   the number of pyramid levels, and the steps at each
tiles    the positions of every layer that a tile owns, and the pixels it reads
strips   process an image a few rows at a time
"""
