"""A grid of settings -> a manifest that stylizes one pair with each of them."""

import csv
import io
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from flows.manifest.columns import OPTIONS
from flows.manifest.image_columns import check_alone
from flows.wording import option_errors
from nst_core.errors import OptionsError
from nst_core.options import StylizeOptions

MOST_RUNGS = 100
MOST_VARIED = 3


@dataclass(frozen=True)
class Varied:
    """An option and the values that it takes on a ladder."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Rung:
    """One place of a ladder: an id, and the value of each varied option in words."""

    pair_id: str
    settings: dict[str, str]


def parse_varied(texts: Sequence[str]) -> tuple[Varied, ...]:
    """What `--vary NAME=VALUE,VALUE` says; a value may hold blanks.

    Raises:
        OptionsError: naming the text that is no such thing, or an option that there is not.
    """
    found = tuple(_varied(text) for text in texts)
    names = [one.name for one in found]
    rungs = 1
    for one in found:
        rungs *= len(one.values)
    if twice := [name for name in names if names.count(name) > 1]:
        raise OptionsError(f"--vary: {twice[0]} is there twice: give all its values at once")
    if not 1 <= len(found) <= MOST_VARIED:
        raise OptionsError(f"--vary: expected 1 to {MOST_VARIED} options to vary, got {len(found)}")
    if rungs > MOST_RUNGS:
        raise OptionsError(f"--vary: expected at most {MOST_RUNGS} combinations, got {rungs}: give fewer values")
    return found


def rungs_of(varied: Sequence[Varied], base: Mapping[str, Any]) -> list[Rung]:
    """All combinations, the last option changing fastest.

    Raises:
        OptionsError: naming a value that cannot be used, or a combination that does not go together.
    """
    rungs = []
    for values in itertools.product(*(one.values for one in varied)):
        settings = dict(zip((one.name for one in varied), values, strict=True))
        try:
            check_alone(StylizeOptions.model_validate({**base, **settings}))
        except ValidationError as error:
            name, reason = option_errors(error)[0]
            raise OptionsError(f"--vary {_said(settings)}: {name + ': ' if name else ''}{reason}") from error
        except OptionsError as error:
            raise OptionsError(f"--vary {_said(settings)}: {error}") from error
        rungs.append(Rung(_id_of(settings), settings))
    if len({rung.pair_id for rung in rungs}) < len(rungs):  # as of 1e-2 and 1e+2, or where they were cut
        return [Rung(_as_id(f"{place}_{rung.pair_id}"), rung.settings) for place, rung in enumerate(rungs, start=1)]
    return rungs


def ladder_manifest(rungs: Sequence[Rung], pictures: Mapping[str, str], base: Mapping[str, Any]) -> bytes:
    """The CSV: a row for each rung, complete, so that it can be copied into a manifest as it is.

    Args:
        rungs: of one ladder.
        pictures: column -> address, `content` and `style` among them.
        base: options that all rungs have.
    """
    buffer = io.StringIO()
    names = list(rungs[0].settings)
    fixed = {name: " ".join(value) if isinstance(value, tuple) else str(value) for name, value in base.items()}
    writer = csv.DictWriter(buffer, ["id", *pictures, *fixed, *names], lineterminator="\n")
    writer.writeheader()
    for rung in rungs:
        writer.writerow({"id": rung.pair_id, **pictures, **fixed, **rung.settings})
    return buffer.getvalue().encode()


def pictures_of_ladder(data: bytes) -> set[tuple[str | None, ...]]:
    """The (content, style) of a ladder's manifest; of what is none, whatever stands there in their place."""
    try:
        rows = csv.DictReader(io.StringIO(data.decode(errors="replace"), newline=""))
        return {(row.get("content"), row.get("style")) for row in rows}
    except csv.Error:
        return set()


def _varied(text: str) -> Varied:
    name, sign, values = text.partition("=")
    name = name.strip().replace("-", "_")
    name = {"size": "size_px"}.get(name, name)
    found = tuple(dict.fromkeys(value.strip() for value in values.split(",") if value.strip()))
    if not sign or not found:
        raise OptionsError(f"--vary {text}: expected NAME=VALUE,VALUE,..., such as style_weight=10,30,90")
    if name not in OPTIONS:
        raise OptionsError(f"--vary {text}: there is no option {name!r}; `nst run --help` lists them all")
    return Varied(name, found)


def _said(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in settings.items())


def _id_of(settings: Mapping[str, str]) -> str:
    """`style_weight-10_style_scale-0.5`."""
    text = "_".join(f"{name}-{value}" for name, value in settings.items())
    return _as_id(text)


def _as_id(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:100].rstrip(".")
