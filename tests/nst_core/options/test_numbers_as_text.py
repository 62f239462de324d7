"""Numbers as spreadsheets write them: those with one meaning are accepted, others are refused with what to write."""

from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from flows.settings import RunSettings
from nst_core.options import StylizeOptions


def made(name: str, value: Any) -> Any:
    return getattr(StylizeOptions.model_validate({name: value}), name)


def refusal(name: str, value: Any, model: type[BaseModel] = StylizeOptions) -> str:
    with pytest.raises(ValidationError) as caught:
        model.model_validate({name: value})
    return str(caught.value)


def nested_types(annotation: Any) -> set[Any]:
    return {annotation} | {kind for one in get_args(annotation) for kind in nested_types(one)}


def numbers_of_type(kind: type) -> list[tuple[type[BaseModel], str]]:
    """List every option of a pair and every setting of a run that is a single number of this type."""
    return [
        (model, name)
        for model in (StylizeOptions, RunSettings)
        for name, field in model.model_fields.items()
        if kind in nested_types(field.annotation)
        and tuple not in {getattr(a, "__origin__", a) for a in nested_types(field.annotation)}
    ]


@pytest.mark.parametrize(("model", "name"), [*numbers_of_type(int), (StylizeOptions, "bit_depth")])
def test_a_whole_number_with_separators_is_refused(model: type[BaseModel], name: str) -> None:
    """`2.000`, two thousand in half of Europe, is refused for every whole number, with both possible meanings."""
    assert "expected a whole number, got '2.000': write 2000 or 2, without separators" in refusal(name, "2.000", model)


@pytest.mark.parametrize(("model", "name"), numbers_of_type(float))
def test_a_decimal_comma_is_refused(model: type[BaseModel], name: str) -> None:
    """A decimal comma is refused for every float, with the number to write instead."""
    assert "expected a number, got '0,5': write 0.5, with a dot for decimals" in refusal(name, "0,5", model)


@pytest.mark.parametrize("value", [80, 80.0, "80", " 80 ", "80.0", "80.00"])
def test_whole_numbers_may_be_written_with_zero_decimals(value: Any) -> None:
    """A whole number may be written as 80.0, as pandas writes it in a column with gaps."""
    assert made("steps", value) == 80


@pytest.mark.parametrize(("text", "number"), [("1.598", 1.598), ("1.500", 1.5), ("12.50", 12.5), ("1.000", 1.0)])
def test_three_decimals_are_not_taken_for_thousands(text: str, number: float) -> None:
    """For a float, `1.500` is one and a half, because programs write numbers with a fixed number of decimals."""
    assert made("style_weight", text) == number


@pytest.mark.parametrize("value", [16, 16.0, "16", "16.0", " 16 "])
def test_a_choice_of_whole_numbers_is_parsed_like_other_whole_numbers(value: Any) -> None:
    """`bit_depth`, a choice of whole numbers, accepts the spellings that `steps` accepts."""
    assert made("bit_depth", value) == 16


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("steps", "2,000", "write 2000 or 2"),
        ("steps", "2.500", "write 2500"),
        ("steps", "2\u202f000", "write 2000 or 2"),
        ("seed", "1.234.567", "write 1234567"),
        ("steps", "2.000,00", "expected a whole number, got '2.000,00': write 2000"),
        ("steps", "80,0", "expected a whole number, got '80,0': write 80"),
        ("bit_depth", "16,0", "write 16"),
        ("style_weight", "1,000", "write 1.0 or 1000"),
        ("style_weight", "30%", "expected a number, got '30%': write 0.3"),
        ("style_weight", "12,50 %", "write 0.125"),
        ("style_weight", "01.05.26", "expected a number, got '01.05.26', a date: write the number"),
        ("steps", "05/01/2026", "expected a whole number, got '05/01/2026', a date"),
        ("style_weight", "1.234,5", "write 1234.5"),
        ("style_weight", "1,234.5", "write 1234.5"),
        ("style_weight", "1\u202f234,50", "write 1234.50"),
        ("style_weight", "1\u00a0234,5", "write 1234.5"),
        ("style_weight", "1'234.5", "write 1234.5"),
        ("style_weight", "1.000.000", "write 1000000"),
        ("style_weight", "1,5e3", "write 1.5e3"),
        ("style_blend", "0,5 0,5", "write 0.5 0.5, or put a space after each comma"),
        ("style_blend", "0,5;0,5", "write 0.5;0.5, or"),
        ("style_blend", "0,7", "write 0.7, or 0 7"),
        ("style_blend", "0,5,0,5", "write 0.5 0.5, or 0 5 0 5"),
        ("style_layer_weights", "1,05", "write 1.05, or"),
        ("style_blend", "70% 30%", "separated by spaces, got '70% 30%': write 0.7 0.3"),
        ("style_blend", "62,5 %; 37,5 %", "write 0.625; 0.375"),
    ],
)
def test_other_notations_are_refused_with_what_to_write(name: str, text: str, words: str) -> None:
    """A number with other separators, a percentage or a date is refused with what to write instead, or with both
    numbers if it may mean two.
    """
    assert words in refusal(name, text)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0.7,0.3", (0.7, 0.3)),
        ("3,1", (3.0, 1.0)),
        ("1,0,1", (1.0, 0.0, 1.0)),
        ("1, 0.5; 2 0", (1.0, 0.5, 2.0, 0.0)),
        ((0.5, 2), (0.5, 2.0)),
    ],
)
def test_a_comma_separates_numbers_where_it_cannot_be_a_decimal_comma(text: Any, numbers: tuple[float, ...]) -> None:
    """In a list, a comma that cannot be a decimal separator separates two numbers."""
    assert made("style_blend", text) == numbers
