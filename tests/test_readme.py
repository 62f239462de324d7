"""The README agrees with the code, the gate and the files of the repository."""

import re
from pathlib import Path

import pytest

from flows.prefect_layer.notify_kinds import NotifyKind
from flows.records.columns import RESULT_COLUMNS
from flows.watching.log import REASONS
from tests.readme_tables import filled, tables

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
GUIDES = ("README.md", "deploy/README.md", "deploy/RUNBOOK.md", "tests/benchmarks/README.md")


def test_ci_runs_the_readme_commands() -> None:
    """The gate has every install step of the README's two commands, and ends with the second's test command."""
    first, second, *_ = re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)
    gate = (ROOT / ".ci" / "run").read_text()

    *installing, running = first.split(" && ")
    *preparing, testing = second.split(" && ")
    assert running == ".venv/bin/nst run manifests/quickstart.csv"
    assert "requirements-test.lock" not in first
    for step in (*installing, *preparing):
        assert step in gate.replace(" --quiet", "")
    assert gate.rstrip().endswith(f"\n{testing}")


def test_tables_are_those_of_the_code() -> None:
    """The README's tables of options, recipes and benchmarks, and its quickstart manifest, are those of the files."""
    text = README
    for name, content in tables().items():
        assert f"<!-- {name} -->\n" in text
        text = filled(text, name, content)

    assert text == README


def test_every_result_column_is_named() -> None:
    """Each column of the results table is named in the README."""
    assert [column for column in RESULT_COLUMNS if f"`{column}`" not in README] == []


def test_every_stop_reason_is_named() -> None:
    """The README's line on the column `stop_reason` names each of its values."""
    (line,) = [line for line in README.splitlines() if line.startswith("|") and "`stop_reason`" in line]

    assert [reason for reason in REASONS if reason not in line] == []


def test_every_way_of_notification_is_described() -> None:
    """The README names each kind of receiver of `nst notify`, and the runbook its command and its address."""
    runbook = (ROOT / "deploy" / "RUNBOOK.md").read_text()
    (line,) = [line for line in README.splitlines() if line.startswith("| `nst notify ")]

    assert [kind for kind in NotifyKind if kind not in line] == []
    assert [kind for kind in NotifyKind if f"\nnst notify {kind}\n" not in runbook] == []
    assert [kind for kind in NotifyKind if f"\n| `{kind}` | " not in runbook] == []


@pytest.mark.parametrize("name", GUIDES)
def test_links_lead_somewhere(name: str) -> None:
    """Every relative link of the guides leads to a file that exists and, after a `#`, to a heading in it."""
    links = re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", (ROOT / name).read_text())

    assert links
    for link, heading in links:
        target = (ROOT / name).parent / link if link else ROOT / name
        assert target.exists(), link
        assert not heading or heading in _anchors(target.read_text()), f"{link}#{heading}"


def _anchors(text: str) -> set[str]:
    """The names by which links reach the headings of a Markdown file."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_files_of_the_examples_exist() -> None:
    """The files that the README's commands and scripts name exist, so that these work in the root of a checkout."""
    blocks = "".join(re.findall(r"```(?:sh|python)\n(.*?)\n```", README, re.DOTALL))
    named = re.findall(r"(?<![\w/])(?:[\w.-]+/)+[\w-]+\.(?:csv|jpg|png|lock|yaml)\b", blocks)

    assert len(named) > 4
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_files_of_the_guides_exist() -> None:
    """Every file and folder of the code that the README names exists, so that the guide leads somewhere."""
    named = re.findall(r"`((?:flows|nst_core|tests|deploy|manifests)/[\w./-]+)`", README)

    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_images_are_small_used_and_without_external_links() -> None:
    """The README's images are small, each is used, and no drawing loads anything from the network."""
    files = sorted((ROOT / "manifests" / "pictures").iterdir())

    assert sum(file.stat().st_size for file in files) < 1_000_000
    assert [file.name for file in files if file.stat().st_size > 200_000] == []
    assert [file.name for file in files if f"manifests/pictures/{file.name}" not in README] == []
    drawings = [file for file in files if file.suffix == ".svg"]
    assert [file.name for file in drawings if re.search(r"https?://(?!www\.w3\.org/)", file.read_text())] == []
