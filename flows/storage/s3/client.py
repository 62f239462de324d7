"""s3fs, adapted: keys are taken literally, and requests to configured buckets are sent as "requester pays"."""

import logging
import os
from typing import Any

import s3fs
from fsspec.asyn import sync_wrapper

from flows.storage.spellings import bucket_and_key


class _NoTraceback(logging.Filter):
    """Removes the traceback from botocore's log lines on failed renewals of credentials; the error itself is raised."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop lines about a mandatory renewal that failed, as that error is raised; keep all other lines."""
        record.exc_info = record.exc_text = None
        return "mandatory" not in record.getMessage()


for _module in ("aiobotocore.credentials", "aiobotocore.tokens", "botocore.credentials", "botocore.tokens"):
    logging.getLogger(_module).addFilter(_NoTraceback())

PAYS_FOR = "NST_REQUESTER_PAYS"
"""The environment variable with the buckets, separated by commas, whose requests this machine's account pays for."""


class S3(s3fs.S3FileSystem):  # type: ignore[misc]  # s3fs has no types
    """An s3fs file system that takes keys literally and adds the header for buckets whose requests we pay for.

    s3fs itself takes a version id and trailing slashes out of a path. Only the operator decides, by the environment,
    which requests cost money.
    """

    cachable = False

    def split_path(self, path: str) -> tuple[str, str, None]:
        """Return bucket and key, and no version id."""
        bucket, key = bucket_and_key(path)
        return bucket, key or "", None

    async def _call_s3(self, method: str, *more: Any, **arguments: Any) -> Any:
        source = arguments.get("CopySource") or {}
        if {arguments.get("Bucket"), source.get("Bucket")} & paid_for():
            arguments.setdefault("RequestPayer", "requester")  # s3fs drops it for methods without this argument
        return await super()._call_s3(method, *more, **arguments)

    call_s3 = sync_wrapper(_call_s3)


def paid_for() -> frozenset[str]:
    """Return the buckets, access points and their aliases whose requests this machine's account pays for."""
    return frozenset(filter(None, map(str.strip, os.environ.get(PAYS_FOR, "").split(","))))
