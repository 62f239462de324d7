"""Gram matrix, content, style and total variation losses, and their weighted sum.

    gram             correlations between channels
    content          distance of features
    style            distance of Gram matrices
    total_variation  roughness of an image
    values           losses as plain numbers (no torch)
    perceptual       targets, and the weighted sum of all of them

Every loss keeps the batch dimension: one value per pastiche, shape (N,).
"""
