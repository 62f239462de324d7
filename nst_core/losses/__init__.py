"""Gram matrix, content, style and total variation losses, and their weighted sum.

    gram             Gram matrices: correlations between channels
    content          content loss: squared distance of features
    style            interface of style statistics, and the distance of Gram matrices
    moments          style statistics as means and covariances, and their Wasserstein distance
    total_variation  total variation: the roughness of an image
    regions          maps of the regions that each have their own style
    reading          accumulate feature statistics during a forward pass, over the whole image or tile by tile
    targets          encode content and style targets
    values           losses as plain numbers (no torch)
    perceptual       the weighted sum of all losses, and its gradient

Every loss keeps the batch dimension: one value per pastiche, shape (N,).
"""
