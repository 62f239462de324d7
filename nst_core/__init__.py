"""The engine: tensors in, tensors out. Knows nothing of Prefect, CSV files, S3 or runs.

    printable   text as one line that reads as what it is
    errors      the tree of what can go wrong
    recipes     the published objectives: their scale factors and default weights
    layers      the names of VGG's layers
    options     StylizeOptions: everything that decides how one pair is stylized
    sizes       integer arithmetic of image sizes
    images/     bytes <-> 8-bit sRGB pictures
    pixels      8-bit sRGB pictures <-> float tensors
    hardware    what a machine has, and what a wish for a device or precision comes to (no torch)
    runtime     finding that out; threads and memory of this process
    backbones/  VGG by layer name, and where its weights come from
    losses/     Gram matrix, content, style, total variation, and their weighted sum
    optimizers/ L-BFGS and Adam over a batch of pastiches, and the coordinates they work in
    initial     what the optimisation starts from
    optimize    the one loop, and when it stops
    pyramid     coarse to fine: smaller sizes first
    memory      what a batch takes, and what is planned with what is free
    stylize     stylize(requests, backbone): a batch of equal-sized pairs at once
    pictures    stylize_picture(content, style): two pictures in, one out

This module imports nothing, so that `options`, `images` and the like stay free of torch.
"""

__version__ = "0.2.0"
