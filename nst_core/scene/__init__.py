"""The pictures of a batch as the optimisation sees them: what it starts from, may change, and is compared with.

pixels     sRGB pictures <-> float tensors
shrink     at half the size, for the coarse levels
canvas     what may be changed of a picture
initial    what the optimisation starts from
recolour   a style image in the content's colours
masks      pictures whose colours are regions
styles     the style of a pair: one picture, a blend, or the regions of one
scene      all of them at one size
"""
