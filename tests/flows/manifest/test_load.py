"""flows.manifest.load: what is said of a manifest that cannot be read."""

import pytest

from flows.errors import Forbidden, ManifestError, Unavailable
from flows.limits import Limits
from flows.manifest.load import load_manifest
from nst_core.options import StylizeOptions
from tests.flows.fault_proxy import FaultProxy


def test_a_manifest_that_may_not_be_read_is_not_called_wrong(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """Rights that are missing are no fault of the file."""
    s3_proxy.rule = lambda _method, _path: (403, "AccessDenied")

    with pytest.raises(Forbidden, match=r"pairs\.csv"):
        load_manifest(f"{s3_bucket}/pairs.csv", StylizeOptions(), Limits())


def test_a_manifest_on_a_server_that_is_away_is_not_called_wrong(
    s3_bucket: str, s3_proxy: FaultProxy, impatient: None
) -> None:
    """Nor is a server that answers nobody."""
    s3_proxy.rule = lambda _method, _path: (503, "SlowDown")

    with pytest.raises(Unavailable, match=r"pairs\.csv"):
        load_manifest(f"{s3_bucket}/pairs.csv", StylizeOptions(), Limits())


def test_what_is_not_there_is_no_manifest(s3_bucket: str) -> None:
    """That is told as a mistake in what was asked for."""
    with pytest.raises(ManifestError, match=r"no manifest: .*pairs\.csv"):
        load_manifest(f"{s3_bucket}/pairs.csv", StylizeOptions(), Limits())
