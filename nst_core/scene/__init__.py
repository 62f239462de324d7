"""The images of a batch as the optimisation sees them: starting points, what may change, masks and styles.

pixels       convert sRGB images to float tensors and back
shrink       halve images for the coarse levels
canvas       what an optimisation may change in an image
initial      the initial pastiche
recolour     bring a style image to the content's colours
masks        masks whose colours are regions, or whose white is protected
styles       the style of a pair: one image, a blend, or the regions of one image
scene        all images of a batch at one size
"""
