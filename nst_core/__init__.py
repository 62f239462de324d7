"""The stylization engine: images and tensors in, stylized images and losses out.

It knows nothing of Prefect, CSV files, S3 or runs.

    one_pair    stylize_picture(content, style): stylize one pair of Pillow images in the calling process
    guides      turn a pair's images (content, styles, masks) into an engine request
    stylize     stylize(requests, backbone): stylize a batch of pairs of equal size
    measure     the losses of a finished image, and its distances from content and style
    prepare     encode a style once for all pairs that use it
    batch       check that pairs can share a batch, and build their common scene
    request     the input and the result of stylizing one pair
    pyramid     coarse to fine: optimise at smaller sizes first
    optimize    the optimisation loop for every optimizer and objective
    stopping    the stop rules
    scene/      the images of a batch: starting points, what may change, masks and styles
    losses/     Gram matrix, content, style, total variation, and their weighted sum
    optimizers/ L-BFGS and Adam over a batch of pastiches, and the coordinates they work in
    backbones/  VGG by layer name, and the sources of its weights
    images/     decode and encode image files
    machine/    devices, precision, and the memory and time that a batch needs
    geometry/   integer sizes: images, pyramid levels, tiles, strips
    options/    the options of a pair: options model, recipes, presets, layer names
    errors      the exception hierarchy
    printable   escape control and invisible characters, so that a text stays on one readable line

This module imports nothing, so that `options`, `images` and other light modules can be imported without torch.
"""

__version__ = "0.2.0"
