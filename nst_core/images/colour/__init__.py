"""What the values of a file mean: whatever it holds and says of its colours -> sRGB, and sRGB -> what a file holds.

    srgb       alpha, 16 bits and colour profiles -> RGB, sRGB, opaque
    declared   what a file says of its colours, as a profile
    deep       colour of 16 bits
    rgb_space  what a profile of primaries and curves means: sRGB -> its values and back
    numbers    colours that are told by numbers -> the profile that says the same
    profiles   a colour profile without what takes minutes

This module imports nothing: `deep` and `rgb_space` take numpy, and most pictures are read without.
"""
