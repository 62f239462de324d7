"""Fixtures for all tests: a local S3 server in place of AWS, and small images."""

import logging
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from flows.storage import s3

CLOSED_PORT = "http://127.0.0.1:9"
"""An address where nothing listens, so that a test without the fixture `s3_server` fails instead of reaching AWS."""


settings.register_profile(
    "untimed", settings.default, deadline=None
)  # no time limit per example, as a busy machine may exceed any
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that are deselected by default as slow too, because `-m "not slow"` replaces the default selection."""
    for item in items:
        if any(item.get_closest_marker(tier) for tier in ("faults", "service", "ray")):
            item.add_marker("slow")


@pytest.fixture(scope="session", autouse=True)
def no_real_aws() -> Iterator[None]:
    """Remove the user's AWS settings from the environment, so that no test can reach AWS."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE", "NST_REQUESTER_PAYS"),
            *("AWS_ENDPOINT_URL_S3", "FSSPEC_S3_ENDPOINT_URL"),
        ):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ENDPOINT_URL", CLOSED_PORT)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", "/dev/null")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        yield


@pytest.fixture(scope="session", autouse=True)
def no_real_cache() -> Iterator[None]:
    """Use another cache folder than the user's, as tests store measurements there.

    It is kept between test sessions, because it also holds a blank Prefect database, which takes long to make.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(Path(tempfile.gettempdir()) / f"nst-tests-cache-{os.getuid()}"))
        yield


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The URL of the S3 server of this test session; from then on the environment points to it."""
    from moto.server import ThreadedMotoServer  # imported here, as that is slow and most tests need no S3

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        s3.requests.filesystem.cache_clear()
        yield f"http://{host}:{port}"
    s3.requests.filesystem.cache_clear()
    server.stop()


@pytest.fixture
def s3_bucket(s3_server: str) -> str:
    """The address of a new, empty bucket."""
    import boto3

    name = f"bucket-{uuid.uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=s3_server).create_bucket(Bucket=name)
    return f"s3://{name}"


def blurred_noise(width: int, height: int, seed: int, cell_px: int) -> Image.Image:
    """Return an image of soft blobs of colour, `cell_px` wide; every seed gives another image."""
    size = max(2, height // cell_px), max(2, width // cell_px), 3
    levels = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    return Image.fromarray(levels).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def photo(tmp_path: Path) -> Callable[..., str]:
    """A function (name, width, height, seed) that saves a content image of large shapes and returns its address."""
    return _painter(tmp_path, cell_px=16)


@pytest.fixture
def style(tmp_path: Path) -> Callable[..., str]:
    """A function (name, width, height, seed) that saves a style image of fine texture and returns its address."""
    return _painter(tmp_path, cell_px=4)


def _painter(folder: Path, cell_px: int) -> Callable[..., str]:
    def paint(name: str, width: int = 64, height: int = 48, seed: int = 0) -> str:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        blurred_noise(width, height, seed, cell_px).save(path)
        return str(path)

    return paint
