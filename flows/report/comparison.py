"""Write the page that compares two or more outputs over the same pairs: their images, losses and settings."""

import itertools
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
from flows.report.gather import Pair, Run, gather
from flows.report.measures import MEASURES
from flows.report.renditions import Pictures, pictures_of
from flows.report.run_page import ROWS_A_PAGE, differing_options, in_words, settings_of, shown_json
from flows.report.templates import rendered
from flows.wording import option_as_text, printable

MOST_COMPARED = 5000
"""The most pairs of a page, as a comparison is always a single file."""
NO_OPTIONS: dict[str, Any] = {}
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""The names of the runs in a page; the others are compared with A."""


@dataclass(frozen=True)
class Match:
    """The same pair in several runs.

    Attributes:
        pairs: the pair in each run; None for a run that does not have it.
    """

    pairs: tuple[Pair | None, ...]

    @property
    def first(self) -> Pair:
        """The pair as in the first run that has it."""
        return next(pair for pair in self.pairs if pair is not None)


def write_comparison(outputs: Sequence[str], address: str, *, most_pairs: int = MOST_COMPARED) -> str:
    """Write the page that compares the latest runs of some outputs, and return its address.

    Args:
        outputs: local folders or `s3://` prefixes; the others are compared with the first.
        address: the address of the page to write.
        most_pairs: the most pairs to compare, as all small images are embedded in the page.

    Raises:
        OutputError: an output has no run, the outputs have no pair in common, or there are too many outputs or pairs.
        StorageError: something cannot be read or written.
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
    """Match the pairs that at least two runs have; return them in the order of the manifests' rows.

    Pairs match if they have the same id. The remaining ones match if they have the same content and style and each is
    the only such pair of its run: generated ids differ if the options in a manifest's cells do.
    """
    by_id = [{str(pair.values["pair_id"]): pair for pair in run.pairs if pair.content} for run in runs]
    common = [name for name, number in Counter(name for ids in by_id for name in ids).items() if number > 1]
    matches = [Match(tuple(ids.get(name) for ids in by_id)) for name in common]
    taken = set(common)
    by_files = [_by_files(pair for name, pair in ids.items() if name not in taken) for ids in by_id]
    files = [key for key, number in Counter(key for pairs in by_files for key in pairs).items() if number > 1]
    matches += [Match(tuple(pairs.get(key) for pairs in by_files)) for key in files]
    return sorted(matches, key=lambda match: match.first.values["row"])


def page_of(runs: Sequence[Run], matches: Sequence[Match], pictures: Pictures, address: str) -> bytes:
    """Return the HTML of the page of matched runs; relative links in it are relative to its address."""
    names = names_of([run.output for run in runs])
    incomparable = _incomparable(matches)
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
        incomparable=incomparable,
        differences=_differences(runs, matches),
        measures=list(MEASURES),
        data={
            "rows": [_row(number, match, runs, pictures, address) for number, match in enumerate(matches)],
            "names": names,
            "letters": list(LETTERS[: len(runs)]),
            "measures": list(MEASURES),
            "rowsAPage": ROWS_A_PAGE,
            "incomparable": incomparable,
        },
        pictures=shown_json(pictures),
    )


def names_of(outputs: Sequence[str]) -> list[str]:
    """Return the shortest suffixes of addresses that are distinct.

    >>> names_of(["/runs/a/out", "/runs/b/out"]), names_of(["s3://x/one", "/two"])
    (['a/out', 'b/out'], ['one', 'two'])
    """
    parts = [output.rstrip("/").split("/") for output in outputs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(folders[-length:]) for folders in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{output} ({place})" for place, output in enumerate(outputs, start=1)]


def link(output: str, image: str, page: str) -> str | None:
    """Return the address of an output's image relative to a page; None if no relative address leads there.

    >>> link("/runs/a", "images/cat.png", "/runs/ab.html"), link("/runs/a", "images/cat.png", "s3://x/ab.html")
    ('a/images/cat.png', None)
    """
    target = storage.join(output, image)
    if storage.is_local(page) != storage.is_local(target):
        return None
    if storage.is_local(page):
        return quote(os.path.relpath(target, os.path.dirname(page)).replace(os.sep, "/"))
    bucket, _, folder = storage.parent_of(page).removeprefix("s3://").partition("/")
    target_bucket, _, key = target.removeprefix("s3://").partition("/")
    return quote(posixpath.relpath(f"/{key}", f"/{folder}")) if bucket == target_bucket else None


def _unmatched(runs: Sequence[Run], matches: Sequence[Match]) -> list[int]:
    """Return for each run the number of its rows that no other run has."""
    return [len(run.pairs) - sum(match.pairs[place] is not None for match in matches) for place, run in enumerate(runs)]


def _by_files(pairs: Iterable[Pair]) -> dict[tuple[str | None, str | None], Pair]:
    groups: defaultdict[tuple[str | None, str | None], list[Pair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.content, pair.style].append(pair)
    return {files: same[0] for files, same in groups.items() if len(same) == 1}


def _incomparable(matches: Sequence[Match]) -> list[str]:
    """Return the measures that cannot be compared between the runs, as the pairs' options define them differently."""
    compared = [
        [pair.options for pair in match.pairs if pair is not None and pair.options is not None] for match in matches
    ]
    return [
        name
        for name, measure in MEASURES.items()
        if any(len(set(map(measure.definition, options))) > 1 for options in compared)
    ]


def _summary(matches: Sequence[Match], place: int) -> list[dict[str, Any]]:
    """Summarise how a run's numbers differ from the first run's, over the pairs that both finished."""
    lines = []
    for name in MEASURES:
        both = [
            (before, after)
            for match in matches
            if (first := match.pairs[0]) and (other := match.pairs[place])
            if (before := first.number(name)) is not None and (after := other.number(name)) is not None
        ]
        ratios = [after / before - 1.0 for before, after in both if before > 0.0]
        if ratios:
            lower = sum(after < before for before, after in both)
            median = f"{100 * statistics.median(ratios):+.1f} %"
            lines.append({"name": name.replace("_", " "), "median": median, "lower": lower, "of": len(both)})
    return lines


def _differences(runs: Sequence[Run], matches: Sequence[Match]) -> list[tuple[str, list[str]]]:
    """Return the settings that differ between the runs: the name, and one text per run."""
    facts = [dict(settings_of(run)) | _common_options(matches, place) for place, run in enumerate(runs)]
    names = [name for name in dict.fromkeys(itertools.chain(*facts)) if name not in ("Run", "Output")]
    table = [(name, [settings.get(name, "") for settings in facts]) for name in names if name != "Options of the run"]
    return [(name, values) for name, values in table if len(set(values)) > 1]


def _common_options(matches: Sequence[Match], place: int) -> dict[str, str]:
    """Return each option of a run's pairs as text: its value, or the number of its different values."""
    texts: defaultdict[str, set[str]] = defaultdict(set)
    for match in matches:
        pair = match.pairs[place]
        options = pair.options.model_dump(mode="json") if pair and pair.options else NO_OPTIONS
        for name, value in options.items():
            texts[name].add(option_as_text(value))
    return {name: next(iter(values)) if len(values) == 1 else f"{len(values)} values" for name, values in texts.items()}


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
            **{name: pair.number(name) for name in MEASURES},
        }
    return {name: value for name, value in side.items() if value not in (None, "")}
