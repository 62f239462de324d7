"""flows.visit_inboxes: one inbox never keeps the others from being visited."""

from pathlib import Path
from typing import Any

import pytest

from flows.errors import Unavailable
from flows.inbox import Inbox, Visit
from flows.visit_inboxes import InboxTroubled, visit_inboxes

ERRORS = {"an error with a name": Unavailable("no answer"), "an error that nobody foresaw": IndexError("out of range")}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_an_error_in_one_inbox_does_not_stop_the_others(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong in one team's inbox, the others are visited; the flow fails and names that inbox alone."""

    def visit(inbox: Inbox, *_: Any) -> Visit:
        if inbox.place.endswith("/bad"):
            raise error
        return Visit(started=["spring.csv"])

    monkeypatch.setattr("flows.visit_inboxes.visit", visit)
    monkeypatch.setattr("flows.visit_inboxes.show_visits", lambda _: None)
    inboxes = [Inbox(place=f"{tmp_path}/{name}", outputs=f"{tmp_path}/out") for name in ("bad", "good")]

    state = visit_inboxes.fn(inboxes)

    assert state.name == "Troubled"
    assert str(state.message).startswith(f"{tmp_path}/bad: ")
    assert isinstance(state.data, InboxTroubled)
    assert state.data.visits == {f"{tmp_path}/good": Visit(started=["spring.csv"])}
