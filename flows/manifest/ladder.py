"""Write a manifest that stylizes one pair with every combination of a grid of settings."""

import csv
import io
import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.manifest.columns import OPTIONS
from flows.manifest.image_columns import check_settings
from flows.wording import option_as_text
from nst_core.errors import OptionsError

MOST_RUNGS = 100
MOST_VARIED = 3


@dataclass(frozen=True)
class VariedOption:
    """An option of a ladder and its values."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Rung:
    """One combination of a ladder: its pair id, and the value of each varied option as text."""

    pair_id: str
    settings: dict[str, str]


def parse_varied(texts: Sequence[str], given: Collection[str] = ()) -> tuple[VariedOption, ...]:
    """Parse the values of `--vary NAME=VALUE,VALUE`; a value may contain blanks.

    Args:
        texts: the values.
        given: the options that have one value for the whole ladder.

    Raises:
        OptionsError: a text has another form, names an unknown option, one twice or one of `given`, or there are too
            many options or combinations.
    """
    varied = tuple(_varied(text) for text in texts)
    names = [option.name for option in varied]
    rungs = 1
    for option in varied:
        rungs *= len(option.values)
    if twice := [name for name in names if names.count(name) > 1]:
        raise OptionsError(f"--vary: {twice[0]} is there twice: give all its values at once")
    if both := [name for name in names if name in given]:
        flag = f"--{both[0].replace('_', '-')}"
        raise OptionsError(f"--vary: {both[0]} is there, and so is {flag}: give one of the two")
    if not 1 <= len(varied) <= MOST_VARIED:
        raise OptionsError(f"--vary: expected 1 to {MOST_VARIED} options to vary, got {len(varied)}")
    if rungs > MOST_RUNGS:
        raise OptionsError(f"--vary: expected at most {MOST_RUNGS} combinations, got {rungs}: give fewer values")
    return varied


def rungs_of(varied: Sequence[VariedOption], base: Mapping[str, Any]) -> list[Rung]:
    """Return all combinations, with the last option changing fastest.

    Raises:
        OptionsError: a value, or a combination of values, is invalid; the message names it.
    """
    rungs = []
    for values in itertools.product(*(option.values for option in varied)):
        settings = dict(zip((option.name for option in varied), values, strict=True))
        check_settings({**base, **settings}, f"--vary {_settings_text(settings)}: ")
        rungs.append(Rung(_id_of(settings), settings))
    if len({rung.pair_id for rung in rungs}) < len(rungs):  # as for 1e-2 and 1e+2, or if ids were cut
        return [Rung(_as_id(f"{place}_{rung.pair_id}"), rung.settings) for place, rung in enumerate(rungs, start=1)]
    return rungs


def ladder_manifest(rungs: Sequence[Rung], pictures: Mapping[str, str], base: Mapping[str, Any]) -> bytes:
    """Return the CSV manifest of a ladder. Each row sets all of its options, so that it can be copied to any manifest.

    Args:
        rungs: all combinations of the ladder.
        pictures: the addresses of the images by column, including `content` and `style`.
        base: the options that all rungs have in common.
    """
    buffer = io.StringIO()
    names = list(rungs[0].settings)
    fixed = {name: option_as_text(value) for name, value in base.items()}
    writer = csv.DictWriter(buffer, ["id", *pictures, *fixed, *names], lineterminator="\n")
    writer.writeheader()
    for rung in rungs:
        writer.writerow({"id": rung.pair_id, **pictures, **fixed, **rung.settings})
    return buffer.getvalue().encode()


def pictures_of_ladder(data: bytes) -> set[tuple[str | None, ...]]:
    """Return the distinct (content, style) cells of a manifest.

    For a file that is not a ladder's manifest, the result is whatever its lines parse to, possibly nothing.
    """
    try:
        rows = csv.DictReader(io.StringIO(data.decode(errors="replace"), newline=""))
        return {(row.get("content"), row.get("style")) for row in rows}
    except csv.Error:
        return set()


def _varied(text: str) -> VariedOption:
    name, sign, values = text.partition("=")
    name = name.strip().replace("-", "_")
    name = {"size": "size_px"}.get(name, name)
    distinct = tuple(dict.fromkeys(value.strip() for value in values.split(",") if value.strip()))
    if not sign or not distinct:
        raise OptionsError(f"--vary {text}: expected NAME=VALUE,VALUE,..., such as style_weight=10,30,90")
    if name not in OPTIONS:
        raise OptionsError(f"--vary {text}: there is no option {name!r}; `nst run --help` lists them all")
    return VariedOption(name, distinct)


def _settings_text(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in settings.items())


def _id_of(settings: Mapping[str, str]) -> str:
    """Return the id of a combination, such as `style_weight-10_style_scale-0.5`."""
    text = "_".join(f"{name}-{value}" for name, value in settings.items())
    return _as_id(text)


def _as_id(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:100].rstrip(".")
