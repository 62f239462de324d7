"""Writes the tables of this folder's README from the JSON files in `results/`, so that no figure is typed by hand.

python -m tests.benchmarks.render
"""

import json
from pathlib import Path

from tests.benchmarks.tables import table

FOLDER = Path(__file__).parent
README = FOLDER / "README.md"
BENCHMARKS = ("peers", "bulk", "scaling", "evaluation", "gpu", "workers", "rows", "quality", "memory", "decoding")
NOTHING_YET = "No results yet."


def rendered(text: str, results: Path) -> str:
    """The text with each benchmark's table between its marks, from every JSON file of that benchmark, by file name."""
    contents = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    for name in BENCHMARKS:
        tables = [table(content) for content in contents if content["benchmark"] == name]
        text = _filled(text, name, "\n\n".join(tables) or NOTHING_YET)
    return text


def _filled(text: str, name: str, content: str) -> str:
    opening, closing = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, _, rest = text.partition(opening)
    _, found, after = rest.partition(closing)
    if not found:
        raise ValueError(f"expected the marks {opening.strip()} and {closing}")
    return f"{before}{opening}{content}\n{found}{after}"


def main() -> None:
    """Rewrite the README."""
    README.write_text(rendered(README.read_text(), FOLDER / "results"))


if __name__ == "__main__":
    main()
