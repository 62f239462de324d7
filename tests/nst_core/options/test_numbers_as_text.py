"""nst_core.options.numbers_as_text: what spreadsheets write for a number is read one way only, or refused."""

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


def kinds(annotation: Any) -> set[Any]:
    return {annotation} | {kind for one in get_args(annotation) for kind in kinds(one)}


def named(kind: type) -> list[tuple[type[BaseModel], str]]:
    """Every option of a pair and every setting of a run that is such a number."""
    return [
        (model, name)
        for model in (StylizeOptions, RunSettings)
        for name, field in model.model_fields.items()
        if kind in kinds(field.annotation)
        and tuple not in {getattr(a, "__origin__", a) for a in kinds(field.annotation)}
    ]


@pytest.mark.parametrize(("model", "name"), [*named(int), (StylizeOptions, "bit_depth")])
def test_a_whole_number_has_no_separators(model: type[BaseModel], name: str) -> None:
    """`2.000` is two thousand in half of Europe: it is refused with both numbers, whichever option it is for."""
    assert "expected a whole number, got '2.000': write 2000 or 2, without separators" in refusal(name, "2.000", model)


@pytest.mark.parametrize(("model", "name"), named(float))
def test_a_number_has_a_dot_for_decimals(model: type[BaseModel], name: str) -> None:
    """A decimal comma is refused with the number that it means, whichever option it is for."""
    assert "expected a number, got '0,5': write 0.5, with a dot for decimals" in refusal(name, "0,5", model)


@pytest.mark.parametrize("value", [80, 80.0, "80", " 80 ", "80.0", "80.00"])
def test_whole_numbers_as_programs_write_them(value: Any) -> None:
    """A column with gaps has 80.0 in pandas."""
    assert made("steps", value) == 80


@pytest.mark.parametrize(("text", "number"), [("1.598", 1.598), ("1.500", 1.5), ("12.50", 12.5), ("1.000", 1.0)])
def test_decimals_of_any_fixed_number(text: str, number: float) -> None:
    """As programs write them, `%.3f` for one: three decimals are no thousands."""
    assert made("style_weight", text) == number


@pytest.mark.parametrize("value", [16, 16.0, "16", "16.0", " 16 "])
def test_a_choice_of_whole_numbers_takes_what_any_other_takes(value: Any) -> None:
    """Of bits as of steps."""
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
        ("style_blend", "0,5 0,5", "write 0.5 0.5, or put a blank behind each comma"),
        ("style_blend", "0,5;0,5", "write 0.5;0.5, or"),
        ("style_blend", "0,7", "write 0.7, or 0 7"),
        ("style_blend", "0,5,0,5", "write 0.5 0.5, or 0 5 0 5"),
        ("style_layer_weights", "1,05", "write 1.05, or"),
    ],
)
def test_other_separators_are_refused_with_what_to_write(name: str, text: str, words: str) -> None:
    """Where two numbers may be meant, with both."""
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
def test_commas_that_part_numbers(text: Any, numbers: tuple[float, ...]) -> None:
    """A comma between numbers that cannot be one within a number parts them."""
    assert made("style_blend", text) == numbers
