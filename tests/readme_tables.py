"""Writes the README's tables from the code and from the results of the quickstart, so that they stay up to date.

python -m tests.readme_tables      the table of results only after `nst run manifests/quickstart.csv`
"""

import csv
import re
import sys
from pathlib import Path

from nst_core.options import StylizeOptions
from nst_core.options.recipes import RECIPES

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
QUICKSTART = ROOT / "runs" / "quickstart" / "results.csv"
SHOWN_COLUMNS = ("row", "pair_id", "status", "total_loss", "content_loss", "style_loss", "steps", "seconds")


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


def results_table(results: Path) -> str:
    """The columns `SHOWN_COLUMNS` of a results table."""
    with results.open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [f"| {' | '.join(SHOWN_COLUMNS)} |", "|" + "---|" * len(SHOWN_COLUMNS)]
    for row in rows:
        cells = (_rounded(row[column]) for column in SHOWN_COLUMNS)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def filled(text: str, name: str, content: str) -> str:
    """The text with the part between `<!-- name -->` and `<!-- /name -->` replaced."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    return re.sub(pattern, lambda found: f"{found[1]}{content}\n{found[2]}", text, flags=re.DOTALL)


def _rounded(cell: str) -> str:
    return f"{float(cell):.4g}" if "." in cell and cell.replace(".", "").isdigit() else cell


def main(results: Path | None) -> None:
    """Rewrite the README's tables; that of results only if there are any."""
    text = README.read_text()
    for name, content in (("options", option_table()), ("recipes", recipe_table()), ("manifest", manifest_listing())):
        text = filled(text, name, content)
    if results is not None:
        text = filled(text, "results", results_table(results))
    README.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else QUICKSTART if QUICKSTART.exists() else None)
