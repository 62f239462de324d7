"""The options of a pair. No torch.

stylize_options  StylizeOptions: everything that determines how one pair is stylized
recipes          the published objectives: their scale factors and default weights
quality          three presets for the length of an optimisation
objective        which options define what the losses measure
file_formats     the formats of an output file, and what each can hold
layers           the names of VGG's layers
numbers_as_text  parse numbers as tables and people write them
"""

from nst_core.options.stylize_options import StylizeOptions

__all__ = ["StylizeOptions"]
