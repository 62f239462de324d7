"""What a pair may ask for. No torch.

of_a_pair   StylizeOptions: everything that decides how one pair is stylized
recipes     the published objectives: their scale factors and default weights
quality     how long an optimisation goes on: three presets
layers      the names of VGG's layers
numbers_as_text  what tables and people write for a number
"""

from nst_core.options.stylize_options import StylizeOptions

__all__ = ["StylizeOptions"]
