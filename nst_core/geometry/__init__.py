"""Sizes, in whole numbers: of pictures, of the levels they are optimised at, of the pieces they are worked on in.

sizes    how large the pastiche and the style image become
levels   at how many sizes a pastiche is optimised, and with how many steps at each
tiles    which positions of every layer a tile owns, and what it has to see
strips   rows of a picture at a time
"""
