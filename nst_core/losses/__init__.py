"""Gram matrix, content, style and total variation losses, and their weighted sum.

    gram             correlations between channels
    content          distance of features
    style            distance of Gram matrices
    moments          distance of means and covariances
    total_variation  roughness of an image
    regions          where in a picture a style counts
    reading          features read on the way through the network, in one piece or in tiles
    targets          what pastiches are held to
    values           losses as plain numbers (no torch)
    perceptual       the weighted sum of all of them, and its gradient

Every loss keeps the batch dimension: one value per pastiche, shape (N,).
"""
