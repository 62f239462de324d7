"""flows.manifest.load: which error is raised for a manifest that cannot be read."""

import pytest

from flows.errors import Forbidden, ManifestError, Unavailable
from flows.limits import Limits
from flows.manifest.load import load_manifest
from nst_core.options import StylizeOptions
from tests.flows.fault_proxy import FaultProxy


def test_a_manifest_that_may_not_be_read_is_forbidden(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """Missing rights raise Forbidden and not ManifestError, because the file itself may be valid."""
    s3_proxy.rule = lambda _method, _path: (403, "AccessDenied")

    with pytest.raises(Forbidden, match=r"pairs\.csv"):
        load_manifest(f"{s3_bucket}/pairs.csv", StylizeOptions(), Limits())


def test_a_manifest_on_an_overloaded_server_is_unavailable(
    s3_bucket: str, s3_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that answers with errors raises Unavailable and not ManifestError."""
    monkeypatch.setattr("flows.storage.retries.LONGEST_WAIT_SECONDS", 0.01)
    s3_proxy.rule = lambda _method, _path: (503, "SlowDown")

    with pytest.raises(Unavailable, match=r"pairs\.csv"):
        load_manifest(f"{s3_bucket}/pairs.csv", StylizeOptions(), Limits())


def test_a_missing_manifest_is_a_manifest_error(s3_bucket: str) -> None:
    """A manifest that does not exist raises ManifestError, as its address is a mistake of the user."""
    with pytest.raises(ManifestError, match=r"no manifest: .*pairs\.csv"):
        load_manifest(f"{s3_bucket}/pairs.csv", StylizeOptions(), Limits())
