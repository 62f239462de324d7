"""Check which additional images of a row can be combined, and with which options."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from flows.records.pairs import FURTHER_STYLES, CellError
from flows.wording import option_errors
from nst_core.errors import OptionsError
from nst_core.options import StylizeOptions


def picture_errors(others: Mapping[str, str], options: StylizeOptions, given: Mapping[str, Any]) -> list[CellError]:
    """Return everything that is wrong with the combination of a row's additional images and its options.

    Args:
        others: the addresses of the row's additional images, by column.
        options: the row's resolved options.
        given: the options that are set by the row's own cells.
    """
    return [*_blend_errors(others, options), *_mask_errors(others), *_start_errors(others, given)]


def check_without_images(options: StylizeOptions) -> None:
    """Refuse options that a row without additional images cannot use.

    Raises:
        OptionsError: the options need additional images; the message says what was expected.
    """
    for error in picture_errors({}, options, {}):
        raise OptionsError(f"{error.column}: {error.reason}")


def check_settings(settings: Mapping[str, Any], start: str) -> None:
    """Refuse settings of options that are invalid, or that need additional images.

    Args:
        settings: values of options by name.
        start: the start of the error's message: the part of a command line that set them.

    Raises:
        OptionsError: they cannot be used; the message says what was expected.
    """
    try:
        check_without_images(StylizeOptions.model_validate(settings))
    except ValidationError as error:
        name, reason = option_errors(error)[0]
        raise OptionsError(f"{start}{name + ': ' if name else ''}{reason}") from error
    except OptionsError as error:
        raise OptionsError(f"{start}{error}") from error


def _blend_errors(others: Mapping[str, str], options: StylizeOptions) -> list[CellError]:
    found = [name for name in FURTHER_STYLES if name in others]
    missing = next((name for name in FURTHER_STYLES[: len(found)] if name not in found), None)
    if missing is not None:
        return [CellError(found[-1], others[found[-1]], f"there is no {missing} before it: fill that column first")]
    styles, weights = 1 + len(found), options.style_blend
    if weights is not None and len(weights) != styles:
        shown = " ".join(f"{weight:g}" for weight in weights)
        reason = (
            f"expected {styles} numbers, one per style of the row, got {len(weights)}"
            if styles > 1
            else f"{len(weights)} weights for one style: fill style_2 too, or leave this empty"
        )
        return [CellError("style_blend", shown, reason)]
    return []


def _mask_errors(others: Mapping[str, str]) -> list[CellError]:
    masks = ("content_mask", "style_mask")
    for mask, partner in (masks, masks[::-1]):
        if mask in others and partner not in others:
            return [CellError(mask, others[mask], f"it goes with a {partner} of the same colours: give both or none")]
    if "style_mask" in others and "style_2" in others:
        return [CellError("style_mask", others["style_mask"], "masks go with one style, not with a blend")]
    return []


def _start_errors(others: Mapping[str, str], given: Mapping[str, Any]) -> list[CellError]:
    if "init_image" in others and "init" in given:
        return [CellError("init_image", others["init_image"], "the row says init too: give one of the two")]
    return []
