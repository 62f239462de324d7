"""The engine: tensors in, tensors out. Knows nothing of Prefect, CSV files, S3 or runs.

    one_pair    stylize_picture(content, style): two pictures in, one out
    guides      pictures of a pair -> what the engine stylizes
    stylize     stylize(requests, backbone): a batch of equal-sized pairs at once
    measure     the losses of a finished picture, and how far it is from content and style
    prepare     a style, encoded once for all pairs that use it
    batch       what pairs of a batch share, and the scene that they make
    request     what is asked for of one pair, and what comes of it
    pyramid     coarse to fine: smaller sizes first
    optimize    the one loop
    stopping    when a pastiche stops
    scene/      the pictures of a batch: what it starts from, may change, and is compared with
    losses/     Gram matrix, content, style, total variation, and their weighted sum
    optimizers/ L-BFGS and Adam over a batch of pastiches, and the coordinates they work in
    backbones/  VGG by layer name, and where its weights come from
    images/     bytes <-> 8-bit sRGB pictures
    machine/    what there is to compute with, and what a batch takes of it
    geometry/   sizes in whole numbers: pictures, levels, tiles, strips
    options/    what a pair may ask for: options, recipes, presets, layers
    errors      the tree of what can go wrong
    printable   text as one line that reads as what it is

This module imports nothing, so that `options`, `images` and the like stay free of torch.
"""

__version__ = "0.2.0"
