"""flows.prefect_layer.artifacts: what Prefect's pages show at the end of a run or of a visit to inboxes."""

from typing import Any

from flows.inbox import Visit
from flows.prefect_layer.artifacts import REASONS_SHOWN, failure_table, summary_markdown, visit_table
from flows.records.columns import RESULT_COLUMNS
from flows.records.runs import RunSummary
from flows.wording import MOST_NAMED

FACTS = {"rows": 3, "succeeded": 1, "failed": 1, "rejected": 1, "pending": 0, "done_before": 0, "stylized_now": 1}
PLACES = {"manifest": "/in/pairs.csv", "output": "/out", "results_csv": "/out/results.csv", "results_parquet": "x"}


def summary(**changes: Any) -> RunSummary:
    machine = {"device": "cpu", "precision": "fp32", "backbone": "vgg19", "seconds": 9.0, "seconds_per_pair": 9.0}
    return RunSummary.model_validate({"run_id": "r", **FACTS, **PLACES, **machine} | changes)


def row(number: int, status: str = "failed", **changes: Any) -> dict[str, Any]:
    values = dict.fromkeys(RESULT_COLUMNS) | {"row": number, "pair_id": f"pair-{number}", "status": status}
    return values | {"error_kind": "bad_image", "error": "cat.png: no picture", "attempts": 1} | changes


def done(number: int, loss: float) -> dict[str, Any]:
    return row(number, "succeeded", total_loss=loss, recipe="relative", output=f"images/{number}.png", error=None)


def test_the_summary_says_why_rows_have_no_image() -> None:
    """The summary names the first failures with their reasons, counts the others and names the artifact with all."""
    text = summary_markdown(summary(), [row(number) for number in range(2, 2 + REASONS_SHOWN + 5)])

    assert "\n- row 2 pair-2, failed: cat.png\\: no picture\n" in text
    assert text.count(", failed: ") == REASONS_SHOWN
    assert "and 5 more: see the artifact `failed-rows`" in text


def test_reasons_are_escaped_as_markdown() -> None:
    """Text from a manifest makes no link, tag or line of its own in the summary."""
    text = summary_markdown(summary(), [row(2, pair_id="", error="[a](javascript:b) <img src=x> | c\nd `e`")])
    (line,) = [line for line in text.splitlines() if line.startswith("- row 2 ")]

    assert line.endswith("e\\`")
    for sign in "[]()<>`":
        assert line.count(sign) == line.count(f"\\{sign}")


def test_the_summary_names_the_report_and_the_retry() -> None:
    """The summary names the report if there is one, and the command that retries failed rows if there are any."""
    assert "`/out/report.html`" in summary_markdown(summary(), [], "/out/report.html")
    assert "report.html" not in summary_markdown(summary(), [])
    assert "`nst retry /out`" in summary_markdown(summary(), [])
    assert "nst retry" not in summary_markdown(summary(failed=0), [])


def test_the_summary_of_the_stub_says_stub() -> None:
    """The summary of a run by the stub begins with STUB."""
    assert summary_markdown(summary(backbone="stub"), []).startswith("**STUB: ")
    assert "STUB" not in summary_markdown(summary(), [])


def test_the_lowest_and_highest_losses_are_shown_once() -> None:
    """Of four pairs none is listed both as lowest and as highest; without failures there is no list of reasons."""
    text = summary_markdown(summary(), [done(number, float(number)) for number in range(4)])

    assert [line.split(" | ")[0] for line in text.splitlines() if " | `pair" in line] == ["| lowest"] * 3 + [
        "| highest"
    ]
    assert "Why rows" not in text


def test_the_table_has_the_first_failures() -> None:
    """The table has a limited number of failed rows and no others; the reason is one of the first columns."""
    rows = [done(1, 1.0), *(row(number) for number in range(2, MOST_NAMED + 50))]
    table = failure_table(rows)

    assert len(table) == MOST_NAMED
    assert list(table[0])[:3] == ["row", "pair_id", "error"]


def test_invisible_characters_are_shown_as_escapes() -> None:
    """Neither the summary nor the table of failures contains characters that reverse or end a line."""
    rows = [row(2, error="p/\u202egnp.a: no such file\u2028x", pair_id="")]

    assert "\u202e" not in summary_markdown(summary(manifest="/in/a\u202eb.csv"), rows)
    assert failure_table(rows)[0]["error"] == "p/\\u202egnp.a: no such file\\u2028x"


def test_a_visit_is_shown_by_its_results() -> None:
    """Troubled and rejected manifests come first; waiting or running ones, and an empty visit, are not shown."""
    visits = {
        "/a": Visit(rejected=["bad.csv"], running=["long.csv"]),
        "/b": Visit(troubled=["odd.csv"], finished=["f.csv"]),
    }

    assert [(one["manifest"], one["became"], one["inbox"]) for one in visit_table(visits)] == [
        ("odd.csv", "troubled", "/b"),
        ("bad.csv", "rejected", "/a"),
        ("f.csv", "finished", "/b"),
    ]
    assert visit_table({"/a": Visit(waiting=["x.csv"]), "/b": Visit(busy=True)}) == []


def test_a_visit_to_many_manifests_is_shown_in_part() -> None:
    """The table names the first manifests and counts the others."""
    table = visit_table({"/a": Visit(rejected=[f"{number}.csv" for number in range(500)])})

    assert (len(table), table[-1]["manifest"]) == (MOST_NAMED + 1, f"and {500 - MOST_NAMED} more")
