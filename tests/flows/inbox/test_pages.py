"""The pages beside a dropped manifest: what people see who have a folder and a browser."""

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
    """A folder that people drop manifests in, and what they find there."""

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
    """What a browser shows of a page, its blanks made one."""
    body = page[page.index("<body>") :]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def marked(page: str) -> list[str]:
    """The cells with a mark."""
    return [text_of(f"<body>{cell}") for cell in re.findall(r'<td class="bad"[^>]*>(.*?)</td>', page)]


def test_a_bad_row_is_shown_as_a_spreadsheet_has_it(desk: Desk) -> None:
    """Columns have their letters, rows the numbers of a spreadsheet; the bad cells alone are marked, and told."""
    rows = 'one,a.png,b.png,5,"two\nlines"\ntwo,a.png,,5,x\nthree,a.png,b.png,many,x\nfour,c.png,b.png,5,x\n'
    page = desk.rejected("spring.csv", f"id,content,style,steps,note\n{rows}")
    text = text_of(page)

    assert marked(page) == ["empty", "many"]
    assert "2 of 4 rows cannot be used." in text
    assert "A id B content C style D steps E note 3 two a.png empty 5 x C3 style: expected a local path" in text
    assert "4 three a.png b.png many x D4 steps: expected a whole number, got 'many'" in text
    assert "2 rows are in order, and will be run once all are: rows 2, 5." in text
    assert "one" not in re.findall(r"\w+", text)


def test_a_row_that_speaks_of_another_one_names_it_as_the_spreadsheet_does(desk: Desk) -> None:
    """An id that is there twice: the first one's row is counted as the page counts rows, and so is that of a pair."""
    rows = 'x,x.png,s.png,"1\n2"\na,c.png,s.png,\na,d.png,s.png,\n,e.png,s.png,\n,e.png,s.png,\n'
    text = text_of(desk.rejected("spring.csv", f"id,content,style,note\n{rows}"))

    assert "A4 id: id 'a' is already used on row 3 6" in text
    assert "row 6 the same pair with the same options is already on row 5" in text


def test_a_row_that_cannot_be_told_apart_is_shown_as_its_line(desk: Desk) -> None:
    """A stray quote: there are no cells to mark, but the line, as it is written, once."""
    page = desk.rejected("spring.csv", 'id,content,style\nx,"a.png,s.png\ny,b.png,s.png\n')

    assert marked(page) == ['x,"a.png,s.png']
    assert "row 2 unclosed or stray quote" in text_of(page)


def test_a_row_of_another_width_is_marked_as_a_whole(desk: Desk) -> None:
    """Its cells are shown as far as there are columns, with the line that has more."""
    page = desk.rejected("spring.csv", "content,style\na.png,s.png,more\n")

    assert marked(page) == ["a.png", "s.png"]
    assert "row 2 expected 2 cells, found 3; put quotes around a cell that holds a comma , found a.png,s.png,more" in (
        text_of(page)
    )


@pytest.mark.parametrize("where", ["cell", "header", "file", "id"])
def test_nothing_of_a_manifest_is_taken_for_markup(desk: Desk, where: str) -> None:
    """Scripts, tags, quotes and letters that turn the text: all are shown as they are written, and nothing runs."""
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


def test_letters_that_are_not_seen_are_written_out(desk: Desk) -> None:
    """In a cell, marked or not, and in the name of a column."""
    page = desk.rejected("spring.csv", "content,style,no\u200bte\na\u202e.png,,b\u2028c\n")

    assert "a\\u202e.png" in page
    assert ("no\\u200bte" in page, "b\\u2028c" in page) == (True, True)
    assert not re.search("[\u200b\u2028\u202e]", page)


def test_of_a_row_of_many_wrong_cells_the_first_are_told(desk: Desk) -> None:
    """The others are counted."""
    names = list(StylizeOptions.model_fields)[: MOST_PROBLEMS + 3]
    page = desk.rejected("spring.csv", f"content,style,{','.join(names)}\na.png,b.png{',?' * len(names)}\n")

    assert page.count("<li><b>") == MOST_PROBLEMS
    assert "and 3 more" in text_of(page)


def test_many_bad_rows_are_counted(desk: Desk) -> None:
    """The first are shown, the rest are counted; the page stays small."""
    rows = "".join(f"row-{number},,s.png\n" for number in range(MOST_NAMED + 30))
    page = desk.rejected("spring.csv", f"id,content,style\n{rows}")

    assert len(marked(page)) == MOST_NAMED
    assert "And 30 more rows like these" in text_of(page)
    assert len(page) < 40_000


def test_of_many_columns_those_with_a_mark_are_shown(desk: Desk) -> None:
    """The marked ones and those that a row must have, as many as fit."""
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
    ("name", "data", "said", "begins"),
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
def test_a_file_that_cannot_be_read_is_told_what_to_do(
    desk: Desk, name: str, data: bytes, said: str, begins: str | None
) -> None:
    """The reason, what to do, and, of a text, how it begins, for its owner to know it again."""
    page = desk.rejected(name, data)

    assert said in text_of(page)
    assert "a file that has changed is looked at again" in text_of(page)
    assert ("How the file begins" in page) == (begins is not None)
    assert begins is None or begins in text_of(page)


def test_rows_of_json_lines_are_called_by_their_lines(desk: Desk) -> None:
    """There are no letters where no spreadsheet shows the file."""
    text = text_of(desk.rejected("spring.jsonl", '{"content": "a.png", "style": "s.png", "steps": "many"}\n'))

    assert "1 line 1 steps: expected a whole number" in text.replace("a.png s.png many ", "")
    assert "spreadsheet" not in text


def test_an_answer_goes_with_what_it_answers(desk: Desk) -> None:
    """Put right and saved again, the page of the earlier version is gone, as is the answer for programs."""
    desk.rejected("spring.csv", "content,style\na.png,\n")
    desk.drop("spring.csv", "content,style\na.png,s.png\n")
    desk.visit()

    assert sorted(path.name for path in desk.place.glob("spring.csv.*.*")) == ["spring.csv.accepted.json"]


def test_a_page_that_cannot_be_made_keeps_no_answer_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong with a page, programs are answered, and the log names it."""
    desk.drop("spring.csv", "content,style\na.png,\n")
    monkeypatch.setattr(answers, "page_of_rows", lambda *_: 1 / 0)
    desk.visit()

    assert json.loads((desk.place / "spring.csv.rejected.json").read_text())["reason"] == "1 of 1 rows cannot be used"
    assert not (desk.place / "spring.csv.rejected.html").exists()


# ---------------------------------------------------------------- finished


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


def test_the_report_is_one_click_away(desk: Desk) -> None:
    """The finished page links the report relative to itself, so that it is found under whatever path people have."""
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
    assert "1 of 2 rows have their picture." in text_of(page)
    assert "1 succeeded 1 failed" in text_of(page)
    assert "3 dog failed" in text_of(page)


def test_of_many_rows_without_a_picture_the_first_are_shown() -> None:
    """The rest are counted; the page stays small."""
    rows = [{"row": n, "pair_id": f"pair-{n}", "status": "failed", "error": "gone"} for n in range(MOST_NAMED + 30)]
    found = ended("/out", without_image=rows, opened=SpreadsheetCells("row", (), {}))
    text = text_of(finished_page("/in", "a.csv", "some rows failed", "", "now", found).decode())

    assert text.count("failed gone") == MOST_NAMED
    assert f"pair-{MOST_NAMED - 1} " in text
    assert "And 30 more: the report and the table have them all." in text


def test_without_a_report_there_is_no_link(desk: Desk) -> None:
    """A run of thousands of rows makes no page by itself."""
    desk.drop("spring.csv", "id,content,style\ncat,cat.png,waves.png\n")
    desk.visit()
    desk.book.carry_out(*desk.book.asked)
    desk.visit()

    assert json.loads((desk.place / "spring.csv.finished.json").read_text())["report"] is None
    assert "href" not in (desk.place / "spring.csv.finished.html").read_text().replace('href="data:,"', "")


def test_a_report_on_s3_comes_with_the_command_that_fetches_it() -> None:
    """No browser opens such an address; a name with quotes in it is safe to paste."""
    page = finished_page("s3://b/in", "a.csv", "succeeded", "", "now", ended("s3://b/my out")).decode()

    assert "aws s3 cp 's3://b/my out/r.html' ." in text_of(page)
    assert "href=" not in page.replace('href="data:,"', "")


def test_odd_places_and_reasons_stay_text_and_the_link_leads_there(tmp_path: Path) -> None:
    """A folder's name with every sign that means something in a link; reasons are text; rows are a spreadsheet's."""
    output = str(tmp_path / "a b#c?d%e&'\"f")
    page = finished_page(str(tmp_path / "in"), "a.csv", "some rows failed", "", "now", ended(output)).decode()
    (link,) = re.findall(r'href="(?!data:)([^"]*)"', page)

    assert storage.name_of(link) == "r.html"
    assert link.startswith("../a%20b%23c%3Fd%25e%26%27%22f/")
    assert "<script>alert(1)</script>" in text_of(page)
    assert "<script" not in page
    assert "2 dog failed no such file" in text_of(page)


def test_a_run_that_died_says_how(tmp_path: Path) -> None:
    """There are no counts: the page has the state and its last words."""
    page = finished_page(str(tmp_path), "a.csv", "failed", "killed by a signal", "now", None).decode()

    assert "failed: killed by a signal" in text_of(page)
