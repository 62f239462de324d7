"""The page of two or more outputs over the same pairs: which settings made the better pictures, at what loss."""

import os
import posixpath
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from flows import storage
from flows.errors import OutputError
from flows.report.gather import DISTANCES, LOSSES, Pair, Run, gather
from flows.report.renditions import Pictures, pictures_of
from flows.report.run_page import ROWS_A_PAGE, differing_options, in_words, settings_of, shown_json
from flows.report.templates import rendered
from flows.wording import printable

MEASURES = (*LOSSES, *DISTANCES, "seconds")
MOST_COMPARED = 5000
"""Pairs of a page: it stays one file, whatever its size."""
NO_OPTIONS: dict[str, Any] = {}
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""What the runs are called in a page: A is the one that the others are compared with."""


@dataclass(frozen=True)
class Match:
    """The same pair in several runs; None for a run that does not have it."""

    pairs: tuple[Pair | None, ...]

    @property
    def first(self) -> Pair:
        """The pair in the first run that has it."""
        return next(pair for pair in self.pairs if pair is not None)


def write_comparison(outputs: Sequence[str], address: str, *, most_pairs: int = MOST_COMPARED) -> str:
    """Write the page that compares the latest runs of some outputs; its address.

    Args:
        outputs: local folders or `s3://` prefixes, the first being what the others are compared with.
        address: where the page goes.
        most_pairs: more than this are refused, as all small pictures are inside the page.

    Raises:
        OutputError: if an output holds no run, they have no pair in common, or there are too many of either.
        StorageError: if something cannot be read or written.
    """
    if len(outputs) > len(LETTERS):
        raise OutputError(f"expected at most {len(LETTERS)} outputs to compare in one page, found {len(outputs)}")
    runs = [gather(output) for output in outputs]
    matches = matched(runs)
    if not matches:
        raise OutputError(
            f"{', '.join(outputs)}: expected pairs with the same id, or the same content and style, found none: "
            "there is nothing to compare"
        )
    if len(matches) > most_pairs:
        raise OutputError(f"expected at most {most_pairs:,} pairs to compare in one page, found {len(matches):,}")
    places = [(run.output, pair) for match in matches for run, pair in zip(runs, match.pairs, strict=True) if pair]
    pictures = pictures_of(places, None)
    storage.replace(address, page_of(runs, matches, pictures, address))
    return address


def matched(runs: Sequence[Run]) -> list[Match]:
    """The pairs that at least two runs have, in the first run's order.

    Pairs are the same if they have the same id; among those left, if they are the only ones of their run with this
    content and style, which covers made ids, as these change with the options in a manifest's cells.
    """
    by_id = [{str(pair.values["pair_id"]): pair for pair in run.pairs if pair.content} for run in runs]
    common = [name for name, number in Counter(name for ids in by_id for name in ids).items() if number > 1]
    found = [Match(tuple(ids.get(name) for ids in by_id)) for name in common]
    taken = set(common)
    by_files = [_by_files(pair for name, pair in ids.items() if name not in taken) for ids in by_id]
    files = [one for one, number in Counter(one for places in by_files for one in places).items() if number > 1]
    found += [Match(tuple(places.get(one) for places in by_files)) for one in files]
    return sorted(found, key=lambda match: match.first.values["row"])


def page_of(runs: Sequence[Run], matches: Sequence[Match], pictures: Pictures, address: str) -> bytes:
    """The page of some matched runs."""
    names = names_of([run.output for run in runs])
    alike = [[_objective(match, place) for match in matches] for place in range(len(runs))]
    same_objective = all(one == alike[0] for one in alike)
    return rendered(
        "comparison.html.jinja",
        ("common.js", "slider.js", "comparison.js"),
        is_stub=any("stub" in run.backbones for run in runs),
        names=names,
        runs=list(zip(LETTERS, runs, names, strict=False)),
        pairs=len(matches),
        unmatched=[
            (letter, number) for letter, number in zip(LETTERS, _unmatched(runs, matches), strict=False) if number
        ],
        summaries=[_summary(matches, place) for place in range(1, len(runs))],
        same_objective=same_objective,
        differences=_differences(runs, matches),
        measures=MEASURES,
        data={
            "rows": [_row(number, match, runs, pictures, address) for number, match in enumerate(matches)],
            "names": names,
            "letters": list(LETTERS[: len(runs)]),
            "measures": list(MEASURES),
            "rowsAPage": ROWS_A_PAGE,
            "sameObjective": same_objective,
        },
        pictures=shown_json(pictures),
    )


def names_of(outputs: Sequence[str]) -> list[str]:
    """The shortest ends of some addresses that tell them apart.

    >>> names_of(["/runs/a/out", "/runs/b/out"]), names_of(["s3://x/one", "/two"])
    (['a/out', 'b/out'], ['one', 'two'])
    """
    parts = [output.rstrip("/").split("/") for output in outputs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-length:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{output} ({place})" for place, output in enumerate(outputs, start=1)]


def link(output: str, image: str, page: str) -> str | None:
    """A picture's address as seen from a page; None where no relative one leads there.

    >>> link("/runs/a", "images/cat.png", "/runs/ab.html"), link("/runs/a", "images/cat.png", "s3://x/ab.html")
    ('a/images/cat.png', None)
    """
    target = storage.join(output, image)
    if storage.is_s3(page) != storage.is_s3(target):
        return None
    if not storage.is_s3(page):
        return quote(os.path.relpath(target, os.path.dirname(page)).replace(os.sep, "/"))
    bucket, _, folder = storage.parent_of(page).removeprefix("s3://").partition("/")
    target_bucket, _, key = target.removeprefix("s3://").partition("/")
    return quote(posixpath.relpath(f"/{key}", f"/{folder}")) if bucket == target_bucket else None


def _unmatched(runs: Sequence[Run], matches: Sequence[Match]) -> list[int]:
    """How many rows of each run no other run has."""
    return [len(run.pairs) - sum(match.pairs[place] is not None for match in matches) for place, run in enumerate(runs)]


def _by_files(pairs: Iterable[Pair]) -> dict[tuple[str | None, str | None], Pair]:
    found: defaultdict[tuple[str | None, str | None], list[Pair]] = defaultdict(list)
    for pair in pairs:
        found[pair.content, pair.style].append(pair)
    return {files: same[0] for files, same in found.items() if len(same) == 1}


def _objective(match: Match, place: int) -> object:
    """What makes total losses comparable; a run that lacks the pair has no say."""
    pair = match.pairs[place] or match.first
    options = pair.options
    return options and (options.recipe, options.content_weight, options.style_weight, options.tv_weight)


def _summary(matches: Sequence[Match], place: int) -> list[dict[str, Any]]:
    """How a run's numbers differ from the first run's, over the pairs that both finished."""
    found = []
    for name in MEASURES:
        both = [
            (before, after)
            for match in matches
            if (first := match.pairs[0]) and (other := match.pairs[place])
            if (before := first.loss(name)) is not None and (after := other.loss(name)) is not None
        ]
        ratios = [after / before - 1.0 for before, after in both if before > 0.0]
        if ratios:
            lower = sum(after < before for before, after in both)
            median = f"{100 * statistics.median(ratios):+.1f} %"
            found.append({"name": name.replace("_", " "), "median": median, "lower": lower, "of": len(both)})
    return found


def _differences(runs: Sequence[Run], matches: Sequence[Match]) -> list[tuple[str, list[str]]]:
    """The settings that are not the same in all runs: name, then one text per run."""
    facts = [dict(settings_of(run)) | _common_options(matches, place) for place, run in enumerate(runs)]
    names = [name for name in dict.fromkeys(name for one in facts for name in one) if name not in ("Run", "Output")]
    table = [(name, [one.get(name, "") for one in facts]) for name in names if name != "Options of the run"]
    return [(name, values) for name, values in table if len(set(values)) > 1]


def _common_options(matches: Sequence[Match], place: int) -> dict[str, str]:
    """Each option of a run's pairs in words: its one value, or that it varies."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for match in matches:
        pair = match.pairs[place]
        options = pair.options.model_dump(mode="json") if pair and pair.options else NO_OPTIONS
        for name, value in options.items():
            found[name].add(" ".join(map(str, value)) if isinstance(value, list) else str(value))
    return {name: next(iter(values)) if len(values) == 1 else f"{len(values)} values" for name, values in found.items()}


def _row(number: int, match: Match, runs: Sequence[Run], pictures: Pictures, address: str) -> dict[str, Any]:
    first = match.first
    return {
        "row": number,
        "id": first.pair_id,
        "content": printable(first.values["content"] or ""),
        "style": printable(first.values["style"] or ""),
        "c": pictures.content.get(first.content or ""),
        "s": pictures.style.get(first.style or ""),
        "runs": [
            None if pair is None else _side(pair, run, pictures, address)
            for run, pair in zip(runs, match.pairs, strict=True)
        ],
    }


def _side(pair: Pair, run: Run, pictures: Pictures, address: str) -> dict[str, Any]:
    side: dict[str, Any] = {
        "id": pair.pair_id,
        "status": pair.status,
        "error": pair.values["error"],
        "options": in_words(differing_options(pair.options, run.record.options)),
    }
    if pair.output is not None:
        side |= {
            "p": pictures.pastiche[run.output, pair.output],
            "full": link(run.output, pair.output, address),
            "size": [pair.values["width"], pair.values["height"]],
            **{name: pair.loss(name) for name in MEASURES},
        }
    return {name: value for name, value in side.items() if value not in (None, "")}
