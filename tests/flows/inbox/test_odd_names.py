"""flows.inbox.visit: files with odd names, kinds or rights do not stop a visit; each is answered or reported once."""

import builtins
import errno
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows import storage
from flows.inbox import Inbox, Visit, visit
from flows.inbox.files import InboxFiles
from flows.inbox.names import answers_name
from tests.flows.inbox_runs import BookOfRuns, limits_for

GOOD = b"id,content,style\ncat,cat.png,waves.png\n"
ODD = (
    *(
        b"caf\xe9",
        b"\xff\xfe",
        b"a::b",
        b"x" * 251,
        b"y" * 242,
        b"new\nline",
        b"tab\t",
        b"esc\x1b[1m",
        b"back\\slash",
        b"",
    ),
    *(b"what?", b"hash#", b"50%", b"st*r", b"-rf", b"dot.", b"space ", b".hidden", b" first"),
    *(one.encode() for one in ("\u202egnp", "a\u200bb", "e\u0301", "\u00e9", "\u732b", "\U0001f469\u200d\U0001f52c")),
)


class Folder:
    """An inbox on disk, the runs that its visits start, and a method that drops files."""

    def __init__(self, root: Path) -> None:
        self.root, self.place, self.book = root, root / "in", BookOfRuns(root / "book")
        self.place.mkdir()

    def drop(self, name: bytes | str, data: bytes = GOOD) -> None:
        path = os.path.join(os.fsencode(self.place), os.fsencode(name))
        with open(path, "wb") as file:
            file.write(data)
        os.utime(path, (1000, 1000))

    def visit(self) -> Visit:
        inbox = Inbox(place=str(self.place), outputs=f"{self.root}/out")
        return visit(inbox, self.book.runs, limits_for(str(self.root)), settle_seconds=0.05)


def before_opening(patch: pytest.MonkeyPatch, name: str, happens: Callable[[], None]) -> None:
    """Call `happens` whenever a file of that name is about to be opened."""
    for place in ("builtins.open", "os.open"):
        really = builtins.open if place == "builtins.open" else os.open

        def opened(path: Any, *arguments: Any, really: Any = really, **options: Any) -> Any:
            if str(path).endswith(f"/{name}"):
                happens()
            return really(path, *arguments, **options)

        patch.setattr(place, opened)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_every_odd_name_is_rejected_once(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    """Names that are not UTF-8, too long, hidden or odd get an answer that names them; the good manifest is run."""
    for name in (*ODD, b"spring"):
        folder.drop(name + b".csv")
    with caplog.at_level(logging.INFO):
        first = folder.visit()
    folder.book.carry_out(*folder.book.asked)
    second = folder.visit()

    assert (len(first.rejected), first.started, first.troubled, first.unanswered) == (len(ODD), ["spring.csv"], [], [])
    assert second == Visit(finished=["spring.csv"])
    answers = [json.loads(path.read_bytes()) for path in folder.place.glob("*.rejected.json")]
    assert sorted(answer["manifest"] for answer in answers) == sorted(first.rejected)
    assert all("rename the file" in answer["reason"] for answer in answers)
    assert all(message.isprintable() for message in caplog.messages)
    assert all(name.isprintable() for name in first.rejected)


def test_folders_pipes_and_broken_links_are_ignored(folder: Folder) -> None:
    """A folder, a FIFO, and links to them, to nothing or in a circle are neither read nor waited for."""
    (folder.place / "folder.csv").mkdir()
    os.mkfifo(folder.place / "fifo.csv")
    for name, target in (("gone", "nowhere"), ("circle", "circle.csv"), ("pipe", "fifo.csv"), ("up", "..")):
        (folder.place / f"{name}.csv").symlink_to(target)
    folder.drop("spring.csv")

    assert folder.visit() == Visit(started=["spring.csv"])


def test_an_answer_that_cannot_be_written_is_reported_once(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    """If a folder has the name of the answer, the log and the visit give its text, and the run goes on to its end."""
    folder.drop("bad.csv", b"id|content|style\n")
    folder.drop("good.csv")
    for name in ("bad.csv.rejected.json", "good.csv.accepted.json", "good.csv.finished.json"):
        (folder.place / name).mkdir()
    first = folder.visit()
    folder.book.carry_out(*folder.book.asked)

    assert (first.rejected, first.started, first.troubled) == (["bad.csv"], ["good.csv"], [])
    assert [said.split(": ")[:2] for said in first.unanswered] == [["bad.csv", "rejected"], ["good.csv", "accepted"]]
    assert "expected commas" in first.unanswered[0]
    assert "the answer cannot be written" in caplog.text
    assert (folder.visit().finished, folder.visit()) == (["good.csv"], Visit())


def test_an_answer_is_written_later_when_the_disk_was_full(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an answer could not be written because the disk was full, the next visit writes it."""
    replace = os.replace

    def full(source: str, target: str, **folders: int) -> None:
        if str(target).endswith(".rejected.json"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target, **folders)

    folder.drop("bad.csv", b"id|content|style\n")
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        assert folder.visit() == Visit(troubled=["bad.csv"])
    assert folder.visit() == Visit(rejected=["bad.csv"])


def test_a_file_that_may_not_be_read_is_rejected_once(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer asks to let the service read the file; later visits do not try again."""

    def closed() -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    folder.drop("secret.csv")
    before_opening(monkeypatch, "secret.csv", closed)

    assert (folder.visit(), folder.visit()) == (Visit(rejected=["secret.csv"]), Visit())
    assert "drop it again" in json.loads((folder.place / "secret.csv.rejected.json").read_bytes())["reason"]


def test_a_file_that_vanishes_before_it_is_read_is_ignored(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a file is neither claimed nor answered; dropped again, it is run."""
    folder.drop("spring.csv")
    with monkeypatch.context() as patch:
        before_opening(patch, "spring.csv", (folder.place / "spring.csv").unlink)
        assert folder.visit() == Visit()
    assert list(folder.place.glob("*.json")) == []
    folder.drop("spring.csv")
    assert folder.visit().started == ["spring.csv"]


def test_names_that_differ_only_in_case_are_run_in_turn(folder: Folder) -> None:
    """Their outputs may be the same folder, so the second one waits for the end of the first."""
    folder.drop("Spring.csv")
    folder.drop("spring.csv")

    assert folder.visit() == Visit(started=["Spring.csv"], waiting=["spring.csv"])


def test_an_earlier_versions_claim_is_finished(folder: Folder) -> None:
    """A claim that an earlier version left open, because its answer could not be written, is closed."""
    folder.drop("a::b.csv")
    files = InboxFiles(str(folder.place), str(folder.place))
    facts = '"sha256": null, "output": "", "snapshot": null, "problem": "a chain", "claimed_at": "1", "claimed_by": "x"'
    storage.create(f"{files.place}/_nst/claims/a-b-1.json", f'{{"key": "a-b-1", "name": "a::b.csv", {facts}}}'.encode())

    first = folder.visit()
    assert first.unanswered == ["a::b.csv: rejected: a chain"]
    assert folder.visit() == Visit()


def test_odd_names_have_different_answer_names() -> None:
    """Names that look alike have different answers; characters that are special only in URLs are kept, on S3 too."""
    stems = [answers_name("/in", f"a{letter}b.csv") for letter in "\u200b\u202e\x01\udce9"]

    assert len(set(stems)) == len(stems)
    assert all(stem.startswith("a-b-") for stem in stems)
    assert (answers_name("/in", "what?.csv"), answers_name("/in", "M\u00e4rz.csv")) == ("what?.csv", "M\u00e4rz.csv")
    assert answers_name("s3://bucket/in", "what?#::.csv") == "what?#::.csv"
    assert len(answers_name("/in", "x" * 251 + ".csv")) < 100
