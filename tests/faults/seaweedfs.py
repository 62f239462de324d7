"""SeaweedFS: a real S3 server on loopback, with credentials and atomic conditional writes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

BUCKET = "faults"
SECRET = "recognisable-secret-0123456789"
ADMIN = {"AWS_ACCESS_KEY_ID": "AKIAFAULTSADMIN", "AWS_SECRET_ACCESS_KEY": SECRET}
READER = {"AWS_ACCESS_KEY_ID": "AKIAFAULTSREADER", "AWS_SECRET_ACCESS_KEY": f"{SECRET}-reader"}
IMPATIENT = {"NST_OBJECT_SECONDS": "6", "NST_OUTAGE_SECONDS": "60"}
"""A tenth of the default patience for an object, a third of that for a server that went away: the tests end sooner."""

PORTS = {"s3.port": 18433, "master.port": 19433, "volume.port": 18480, "filer.port": 18488, "admin.port": 18500}
"""The ports for the first process of pytest-xdist; each further one has its own server, on the next ports."""


class Weed:
    """The server process; it may be killed and started again on the same folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        self._ports = {name: port + number for name, port in PORTS.items()}
        self.url = f"http://127.0.0.1:{self._ports['s3.port']}"
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def program() -> Path:
        return Path(sys.executable).parent / "weed"

    def start(self) -> None:
        """Start the server, and wait until an object can be written."""
        flags = [f"-{name}={port}" for name, port in self._ports.items()]
        flags += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.port.iceberg=0", "-webdav=false", "-admin.ui=false"]
        flags += ["-master.telemetry=false", f"-bucket={BUCKET}", f"-s3.config={self.folder / 's3.json'}"]
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        program = self.program() if self.program().exists() else "weed"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "mini", f"-dir={data}", *flags], stdout=log, stderr=log, env=environment, cwd=self.folder
            )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        keys = {name.lower(): value for name, value in ADMIN.items()}
        settings = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5)
        client = boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", config=settings, **keys)
        deadline = time.monotonic() + 60
        while True:
            try:
                client.put_object(Bucket=BUCKET, Key="ready", Body=b"ready")
                return
            except (BotoCoreError, ClientError):
                assert time.monotonic() < deadline, (self.folder / "log").read_text()[-3000:]
                time.sleep(0.2)

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
