"""The HTML pages next to a dropped manifest, for people who have a folder and a browser."""

import html
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from flows import storage
from flows.inbox import Inbox, answers, visit
from flows.inbox.finished_page import FinishedOutput, finished_page
from flows.inbox.rejected_page import MOST_COLUMNS, MOST_PROBLEMS
from flows.manifest.spreadsheet_cells import SpreadsheetCells
from flows.wording import MOST_NAMED
from nst_core.options import StylizeOptions
from tests.flows.inbox_runs import BookOfRuns, limits_for

HOSTILE = "</style></td><script>alert(1)</script><img src=x onerror=alert(2)>&lt;\u202e'\""


class Desk:
    """An inbox on disk, and methods that drop manifests and read the answers."""

    def __init__(self, root: Path) -> None:
        self.root, self.place, self.book = root, root / "in", BookOfRuns(root / "book")
        self.place.mkdir()

    def drop(self, name: str, data: bytes | str) -> None:
        path = self.place / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        os.utime(path, (1000, 1000))

    def visit(self, **changes: Any) -> None:
        inbox = Inbox(place=str(self.place), outputs=f"{self.root}/out", **changes)
        visit(inbox, self.book.runs, limits_for(str(self.root)), settle_seconds=0.05)

    def rejected(self, name: str, data: bytes | str) -> str:
        self.drop(name, data)
        self.visit()
        return (self.place / f"{name}.rejected.html").read_text()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def text_of(page: str) -> str:
    """Return the text that a browser shows of a page, with runs of blanks as one."""
    body = page[page.index("<body>") :]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def marked(page: str) -> list[str]:
    """Return the texts of the marked cells."""
    return [text_of(f"<body>{cell}") for cell in re.findall(r'<td class="bad"[^>]*>(.*?)</td>', page)]


def test_bad_rows_are_shown_as_in_a_spreadsheet(desk: Desk) -> None:
    """Columns have the letters, and rows the numbers, of a spreadsheet; only the bad cells are marked and explained."""
    rows = 'one,a.png,b.png,5,"two\nlines"\ntwo,a.png,,5,x\nthree,a.png,b.png,many,x\nfour,c.png,b.png,5,x\n'
    page = desk.rejected("spring.csv", f"id,content,style,steps,note\n{rows}")
    text = text_of(page)

    assert marked(page) == ["empty", "many"]
    assert "2 of 4 rows cannot be used." in text
    assert "A id B content C style D steps E note 3 two a.png empty 5 x C3 style: expected a local path" in text
    assert "4 three a.png b.png many x D4 steps: expected a whole number, got 'many'" in text
    assert "2 rows are in order, and will be run once all are: rows 2, 5." in text
    assert "one" not in re.findall(r"\w+", text)


def test_reasons_name_other_rows_by_their_spreadsheet_number(desk: Desk) -> None:
    """A reason that refers to another row, for a repeated id or pair, gives its row number in the spreadsheet."""
    rows = 'x,x.png,s.png,"1\n2"\na,c.png,s.png,\na,d.png,s.png,\n,e.png,s.png,\n,e.png,s.png,\n'
    text = text_of(desk.rejected("spring.csv", f"id,content,style,note\n{rows}"))

    assert "A4 id: id 'a' is already used on row 3 6" in text
    assert "row 6 the same pair with the same options is already on row 5" in text


def test_a_row_that_cannot_be_split_is_shown_as_its_line(desk: Desk) -> None:
    """A row with a stray quote has no cells to mark: its line is shown once, as it is written."""
    page = desk.rejected("spring.csv", 'id,content,style\nx,"a.png,s.png\ny,b.png,s.png\n')

    assert marked(page) == ['x,"a.png,s.png']
    assert "row 2 unclosed or stray quote" in text_of(page)


def test_a_row_of_another_width_is_marked_as_a_whole(desk: Desk) -> None:
    """A row with too many cells is shown as far as there are columns, all marked, with its whole line in the reason."""
    page = desk.rejected("spring.csv", "content,style\na.png,s.png,more\n")

    assert marked(page) == ["a.png", "s.png"]
    assert "row 2 expected 2 cells, found 3; put quotes around a cell that holds a comma , found a.png,s.png,more" in (
        text_of(page)
    )


@pytest.mark.parametrize("where", ["cell", "header", "file", "id"])
def test_nothing_of_a_manifest_is_taken_for_markup(desk: Desk, where: str) -> None:
    """Scripts, tags, quotes and characters that reverse text are shown as they are written, and nothing is executed."""
    quoted = '"' + HOSTILE.replace('"', '""') + '"'
    data = {
        "cell": f"content,style,note\n,{quoted},{quoted}\n",
        "header": f"content,style,{quoted}\n,b.png,x\n",
        "file": f"{HOSTILE};content\n",
        "id": f"id,content,style\n{quoted},a.png,b.png\n",
    }[where]
    page = desk.rejected("spring.csv", data)

    assert not re.findall(r"<script|<img|onerror=alert\(2\)>(?!&)", page.replace("onerror=alert(2)&gt;", ""))
    assert page.count("<style>") == page.count("</style>") == 1
    assert "\u202e" not in page
    assert "<script>alert(1)</script>" in text_of(page)
    assert "default-src 'none'" in page


def test_invisible_characters_are_shown_as_escapes(desk: Desk) -> None:
    """Invisible characters are shown as escapes in marked and unmarked cells and in column names."""
    page = desk.rejected("spring.csv", "content,style,no\u200bte\na\u202e.png,,b\u2028c\n")

    assert "a\\u202e.png" in page
    assert ("no\\u200bte" in page, "b\\u2028c" in page) == (True, True)
    assert not re.search("[\u200b\u2028\u202e]", page)


def test_many_problems_of_a_row_are_counted(desk: Desk) -> None:
    """The first problems of a row are listed, and the others are counted."""
    names = list(StylizeOptions.model_fields)[: MOST_PROBLEMS + 3]
    page = desk.rejected("spring.csv", f"content,style,{','.join(names)}\na.png,b.png{',?' * len(names)}\n")

    assert page.count("<li><b>") == MOST_PROBLEMS
    assert "and 3 more" in text_of(page)


def test_many_bad_rows_are_counted(desk: Desk) -> None:
    """The first bad rows are shown, the others are counted, and the page stays small."""
    rows = "".join(f"row-{number},,s.png\n" for number in range(MOST_NAMED + 30))
    page = desk.rejected("spring.csv", f"id,content,style\n{rows}")

    assert len(marked(page)) == MOST_NAMED
    assert "And 30 more rows like these" in text_of(page)
    assert len(page) < 40_000


def test_marked_and_required_columns_are_shown_first(desk: Desk) -> None:
    """Of many columns, the marked and the required ones are shown, and the columns left out are counted."""
    names = [f"extra_{number}" for number in range(60)]
    page = desk.rejected(
        "spring.csv", f"{','.join(names)},id,content,style,steps\n{','.join('x' for _ in names)},a,a.png,,many\n"
    )
    text = text_of(page)

    assert ("BK style" in text, "BL steps" in text, "BK2 style" in text) == (True, True, True)
    assert (len(re.findall(r"<th>", page)), "52 further columns without a mark are not shown" in text) == (
        MOST_COLUMNS + 1,
        True,
    )


@pytest.mark.parametrize(
    ("name", "data", "reason", "begins"),
    [
        ("book.csv", b"PK\x03\x04rest", "found an Excel or LibreOffice workbook", None),
        ("book.xlsx", b"PK\x03\x04rest", "found an Excel or LibreOffice workbook", None),
        ("old.XLS", b"\xd0\xcf\x11\xe0\xa1\xb1", "found an old Excel workbook", None),
        ("sheet.ods", b"PK\x03\x04rest", "found an Excel or LibreOffice workbook", None),
        ("latin.csv", b"content,style\nM\xe4rz.png,b.png\n", "save it as UTF-8", "M\ufffdrz.png,b.png"),
        ("caps.csv", b"Content,Style\na.png,b.png\n", "column 'Content' looks like 'content'", "Content,Style"),
        ("pack.csv.gz", b"\x1f\x8bnot gzip", "found a damaged one", None),
        ("M\u00e4rz.csv", b"content,style\na.png,b.png\n", "rename the file", None),
        ("none.csv", b"", "the file is empty", None),
    ],
)
def test_a_rejected_file_gets_a_reason_and_what_to_do(
    desk: Desk, name: str, data: bytes, reason: str, begins: str | None
) -> None:
    """The page gives the reason, what to do, and the beginning of a text file, so that its owner recognises it."""
    page = desk.rejected(name, data)

    assert reason in text_of(page)
    assert "a file that has changed is looked at again" in text_of(page)
    assert ("How the file begins" in page) == (begins is not None)
    assert begins is None or begins in text_of(page)


def test_rows_of_json_lines_are_named_by_their_lines(desk: Desk) -> None:
    """Rows of JSON lines have line numbers and no cell names, because no spreadsheet shows the file."""
    text = text_of(desk.rejected("spring.jsonl", '{"content": "a.png", "style": "s.png", "steps": "many"}\n'))

    assert "1 line 1 steps: expected a whole number" in text.replace("a.png s.png many ", "")
    assert "spreadsheet" not in text


def test_a_corrected_manifest_loses_its_rejection(desk: Desk) -> None:
    """After a manifest is corrected and saved again, the page and the JSON answer of the old version are removed."""
    desk.rejected("spring.csv", "content,style\na.png,\n")
    desk.drop("spring.csv", "content,style\na.png,s.png\n")
    desk.visit()

    assert sorted(path.name for path in desk.place.glob("spring.csv.*.*")) == ["spring.csv.accepted.json"]


def test_a_failing_page_does_not_hold_back_the_answer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If making the page fails, the answer for programs is written without a page, and the log says so."""
    desk.drop("spring.csv", "content,style\na.png,\n")
    monkeypatch.setattr(answers, "page_of_rows", lambda *_: 1 / 0)
    desk.visit()

    assert json.loads((desk.place / "spring.csv.rejected.json").read_text())["reason"] == "1 of 1 rows cannot be used"
    assert not (desk.place / "spring.csv.rejected.html").exists()
    assert "a page could not be made: division by zero" in caplog.text


# ---------------------------------------------------------------- the page of a finished manifest


def ended(output: str, **changes: Any) -> FinishedOutput:
    row = {"row": 3, "pair_id": "dog", "status": "failed", "error": f"no such file {HOSTILE}"}
    opened = SpreadsheetCells("row", ("id",), {3: 2})
    facts = {
        "counts": {"succeeded": 2, "failed": 1},
        "without_image": [row],
        "opened": opened,
        "report": f"{output}/r.html",
    }
    return FinishedOutput(output=output, **{**facts, **changes})


def test_the_finished_page_links_the_report(desk: Desk) -> None:
    """The link to the report is relative to the page, so that it works under whatever path people see the folder."""
    desk.drop("spring.csv", "id,content,style\ncat,cat.png,waves.png\ndog,dog.png,waves.png\n")
    desk.visit()
    desk.book.carry_out(*desk.book.asked, failing=("dog",))
    report = desk.root / "out" / "spring" / "report.html"
    report.write_text("the report")
    desk.visit()
    answer = json.loads((desk.place / "spring.csv.finished.json").read_text())
    page = (desk.place / "spring.csv.finished.html").read_text()
    (link,) = re.findall(r'href="(?!data:)([^"]*)"', page)

    assert answer["report"] == str(report)
    assert link == "../out/spring/report.html"
    assert (desk.place / link).read_text() == "the report"
    assert "1 of 2 rows have their image." in text_of(page)
    assert "1 succeeded 1 failed" in text_of(page)
    assert "3 dog failed" in text_of(page)


def test_many_rows_without_an_image_are_counted() -> None:
    """The first rows without an image are shown, and the others are counted."""
    rows = [{"row": n, "pair_id": f"pair-{n}", "status": "failed", "error": "gone"} for n in range(MOST_NAMED + 30)]
    found = ended("/out", without_image=rows, opened=SpreadsheetCells("row", (), {}))
    text = text_of(finished_page("/in", "a.csv", "some rows failed", "", "now", found).decode())

    assert text.count("failed gone") == MOST_NAMED
    assert f"pair-{MOST_NAMED - 1} " in text
    assert "And 30 more: the report and the table have them all." in text


def test_without_a_report_there_is_no_link(desk: Desk) -> None:
    """A run without a report, as after thousands of rows, gets a finished page without a link."""
    desk.drop("spring.csv", "id,content,style\ncat,cat.png,waves.png\n")
    desk.visit()
    desk.book.carry_out(*desk.book.asked)
    desk.visit()

    assert json.loads((desk.place / "spring.csv.finished.json").read_text())["report"] is None
    assert "href" not in (desk.place / "spring.csv.finished.html").read_text().replace('href="data:,"', "")


def test_a_report_on_s3_comes_with_its_download_command() -> None:
    """No browser opens an s3:// address, so the page has a command for the report that is safe to paste."""
    page = finished_page("s3://b/in", "a.csv", "succeeded", "", "now", ended("s3://b/my out")).decode()

    assert "aws s3 cp 's3://b/my out/r.html' ." in text_of(page)
    assert "href=" not in page.replace('href="data:,"', "")


def test_odd_folder_names_and_reasons_are_escaped(tmp_path: Path) -> None:
    """The link works for a folder whose name has all signs with a meaning in links; reasons are shown as text; rows
    have their spreadsheet numbers.
    """
    output = str(tmp_path / "a b#c?d%e&'\"f")
    page = finished_page(str(tmp_path / "in"), "a.csv", "some rows failed", "", "now", ended(output)).decode()
    (link,) = re.findall(r'href="(?!data:)([^"]*)"', page)

    assert storage.name_of(link) == "r.html"
    assert link.startswith("../a%20b%23c%3Fd%25e%26%27%22f/")
    assert "<script>alert(1)</script>" in text_of(page)
    assert "<script" not in page
    assert "2 dog failed no such file" in text_of(page)


def test_a_run_that_died_shows_its_last_message(tmp_path: Path) -> None:
    """A run that died has no counts: the page shows its state and its message."""
    page = finished_page(str(tmp_path), "a.csv", "failed", "killed by a signal", "now", None).decode()

    assert "failed: killed by a signal" in text_of(page)
