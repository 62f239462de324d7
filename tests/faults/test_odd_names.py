"""An inbox on SeaweedFS whose objects have unusual names: each is answered once, and none stops the others."""

from pathlib import Path
from typing import Any

import pytest

from flows import storage
from flows.inbox import Inbox, visit
from tests.faults.seaweedfs import BUCKET, Weed
from tests.flows.inbox_runs import BookOfRuns, limits_for

GOOD = b"id,content,style\ncat,cat.png,waves.png\n"
ODD = (
    *("a::b", "what?", "hash#1", "50%25", "50%", "st*r", "[a]", "new\nline", "esc\x1b[1m", "\u202egnp", "a\u200bb"),
    *("-rf", "dot.", "space ", " first", "back\\slash", "plus+", "e\u0301", "\u00e9", "\u732b", '"quoted"', "a&b=c"),
    *("x" * 251, "y" * 245, "\U0001f469\u200d\U0001f52c", ".hidden", "", "Spring's", "~", "a;b", "<b>", "|", "$(x)"),
)


@pytest.fixture
def place(weed: Weed, client: Any) -> str:
    """An inbox with an object of every unusual name and one good manifest."""
    for name in (*ODD, "spring"):
        client.put_object(Bucket=BUCKET, Key=f"odd/in/{name}.csv", Body=GOOD)
    return f"s3://{BUCKET}/odd/in"


def test_no_key_stops_a_visit(place: str, tmp_path: Path) -> None:
    """Manifests with unusual keys are rejected with the reason; the good one is run; the next visit starts nothing."""
    listed = {entry.name for entry in storage.entries(place)}
    inbox, book = Inbox(place=place, outputs=f"s3://{BUCKET}/odd/out"), BookOfRuns(tmp_path / "book")

    first = visit(inbox, book.runs, limits_for(f"s3://{BUCKET}/odd"))
    book.carry_out(*book.asked)
    second = visit(inbox, book.runs, limits_for(f"s3://{BUCKET}/odd"))

    assert (first.started, second.finished) == (["spring.csv"], ["spring.csv"])
    assert (first.troubled, first.unanswered) == ([], [])
    assert (second.troubled, second.unanswered, second.rejected) == ([], [], [])
    assert len(first.rejected) == len(listed) - 1 >= len(ODD) - 1
    answers = [name for name in storage.names(place) if name.endswith(".rejected.json")]
    assert len(answers) == len(first.rejected)
