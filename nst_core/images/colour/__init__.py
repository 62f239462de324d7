"""Colour conversion: from the values and the declared colour space of a file to sRGB, and from sRGB to a file's values.

    srgb       alpha, 16 bits and colour profiles -> RGB, sRGB, opaque
    declared   the colour space that a file declares, as an ICC profile
    deep       colour of 16 bits per channel
    rgb_space  conversion between sRGB and the RGB space of a profile with primaries and curves
    numbers    numeric colour descriptions (ITU-T H.273, gAMA, cHRM) -> an equivalent profile
    profiles   removing the parts of a colour profile that could take minutes to process

This module imports nothing: `deep` and `rgb_space` import numpy, which most images do not need.
"""
