"""Visits to an inbox on S3 that have only the rights of deploy/iam/inbox.json."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from flows import storage
from flows.inbox import Inbox, Visit, visit
from tests.flows.fault_proxy import FaultProxy
from tests.flows.iam_policies import by_policy
from tests.flows.inbox_runs import BookOfRuns, limits_for

GOOD = b"id,content,style\ncat,cat.png,waves.png\ndog,dog.png,waves.png\n"
BAD_ROWS = b"id,content,style,steps\ncat,cat.png,waves.png,many\n"


class Place:
    """An inbox on S3 whose visits have only the rights of the policy; everything else is done with all rights."""

    def __init__(self, bucket: str, proxy: FaultProxy, book: Path) -> None:
        self.root, self.proxy, self.book = f"{bucket}/nst", proxy, BookOfRuns(book)
        self.inbox = Inbox(place=f"{self.root}/inbox", outputs=f"{self.root}/outputs")
        self.refused: list[str] = []
        self.rights = by_policy("inbox", bucket.removeprefix("s3://"), "nst", self.refused)

    def visit(self) -> Visit:
        self.proxy.rule = self.rights
        try:
            return visit(self.inbox, self.book.runs, limits_for(self.root), settle_seconds=0.05)
        finally:
            self.proxy.rule = None

    def drop(self, data: bytes) -> None:
        storage.replace(f"{self.inbox.place}/spring.csv", data)
        time.sleep(0.01)

    def answers(self) -> list[str]:
        return [name.removeprefix("spring.csv.") for name in storage.names(self.inbox.place) if name != "spring.csv"]

    def answer(self, word: str) -> Any:
        return json.loads(storage.read(f"{self.inbox.place}/spring.csv.{word}.json"))


@pytest.fixture
def place(s3_bucket: str, s3_proxy: FaultProxy, tmp_path: Path) -> Place:
    return Place(s3_bucket, s3_proxy, tmp_path / "book")


def test_the_policy_allows_everything_that_visits_do(place: Place) -> None:
    """A manifest is rejected twice, corrected, run, finished and replaced: no request is refused, and no old answer
    stays.
    """
    for again in (False, True):  # with the same bytes, whose images may be right by now
        time.sleep(1.0 if again else 0.0)  # S3 has times in whole seconds; a later time counts as saved again
        place.drop(BAD_ROWS)
        assert place.visit().rejected == ["spring.csv"]
    place.drop(GOOD)
    assert place.visit().started == ["spring.csv"]
    assert [name for name in place.answers() if "claimed" not in name] == ["accepted.json"]
    place.book.carry_out(place.book.asked[0])
    storage.replace(f"{place.inbox.outputs}/spring/report.html", b"<html>")
    assert place.visit().finished == ["spring.csv"]
    assert place.answers() == ["accepted.json", "finished.html", "finished.json"]
    assert place.answer("finished")["report"] == f"{place.inbox.outputs}/spring/report.html"
    place.drop(BAD_ROWS + b"dog,dog.png,waves.png,many\n")
    assert place.visit().rejected == ["spring.csv"]

    assert place.answers() == ["rejected.html", "rejected.json"]
    assert place.refused == []


def test_a_manifest_that_the_service_cannot_read_is_not_rejected(place: Place) -> None:
    """On S3 a missing right is more likely the service's own problem, so the manifest waits until it can be read."""
    place.drop(GOOD)
    rights = place.rights
    place.rights = lambda method, path: (
        (403, "AccessDenied") if method == "GET" and path.endswith("/spring.csv") else rights(method, path)
    )

    assert place.visit().troubled == ["spring.csv"]
    assert place.answers() == []
    place.rights = rights
    assert place.visit().started == ["spring.csv"]


def test_an_unreadable_report_does_not_keep_a_manifest_open(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """If the report cannot be checked, the manifest is finished with its counts, without the link; the log says why."""
    place.drop(GOOD)
    place.visit()
    place.book.carry_out(place.book.asked[0])
    rights = place.rights
    place.rights = lambda method, path: (403, "AccessDenied") if "report.html" in path else rights(method, path)

    assert place.visit().finished == ["spring.csv"]
    assert (place.answer("finished")["succeeded"], place.answer("finished")["report"]) == (2, None)
    assert "the report is left out of an answer, as it cannot be looked at" in caplog.text


def test_an_old_answer_that_cannot_be_removed_blocks_no_other(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """The new answer is written, the other old files are removed, and the log names the one that stays."""
    place.drop(BAD_ROWS)
    place.visit()
    place.drop(GOOD)
    rights = place.rights
    kept = "spring.csv.rejected.json"
    place.rights = lambda method, path: (
        (403, "AccessDenied") if method == "DELETE" and kept in path else rights(method, path)
    )

    done = place.visit()

    assert (done.started, done.unanswered) == (["spring.csv"], [])
    assert [name for name in place.answers() if "claimed" not in name] == ["accepted.json", "rejected.json"]
    assert "an earlier answer stays, as it cannot be removed" in caplog.text
