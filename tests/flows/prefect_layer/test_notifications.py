"""flows.prefect_layer.notifications: the addresses of receivers. Messages are sent in tests/service."""

import pytest

from flows.errors import RequestRefused
from flows.prefect_layer.notifications import _block
from flows.prefect_layer.notify_kinds import NotifyKind


@pytest.mark.parametrize("kind", NotifyKind)
def test_every_kind_refuses_an_address_of_another_form(kind: NotifyKind) -> None:
    """The error shows what an address of this kind looks like, and not the given one, which may be a secret."""
    with pytest.raises(RequestRefused, match=f"^{kind}: expected an address like ") as caught:
        _block(kind, "smtp://a-secret-address")

    assert "a-secret" not in str(caught.value)
