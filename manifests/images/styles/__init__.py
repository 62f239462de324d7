"""Style pictures, each painted by a function of its own from nothing but numpy, Pillow and a fixed random seed.

Coordinates are painted pixels, x to the right and y down; colours run from 0 to 1.

    tools  colours, noise, light
    oil    brush strokes on canvas
"""
