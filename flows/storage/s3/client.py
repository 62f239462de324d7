"""s3fs as this project uses it: keys are taken letter by letter, and who pays for a request is said with it."""

import logging
import os
from typing import Any

import s3fs
from fsspec.asyn import sync_wrapper

from flows.storage.spellings import bucket_and_key


class _NoTraceback(logging.Filter):
    """What botocore tells of credentials that it could not renew, without its traceback; the error itself is raised."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is news: a renewal that had to succeed and did not is what we raise."""
        record.exc_info = record.exc_text = None
        return "mandatory" not in record.getMessage()


for _module in ("aiobotocore.credentials", "aiobotocore.tokens", "botocore.credentials", "botocore.tokens"):
    logging.getLogger(_module).addFilter(_NoTraceback())

PAYS_FOR = "NST_REQUESTER_PAYS"
"""Environment variable: buckets, with commas between, whose requests this machine's account pays for."""


class S3(s3fs.S3FileSystem):  # type: ignore[misc]  # s3fs has no types
    """s3fs reads versions, and an end of slashes, out of a path; the operator alone says what costs money."""

    cachable = False

    def split_path(self, path: str) -> tuple[str, str, None]:
        """Bucket, key, and no version."""
        bucket, key = bucket_and_key(path)
        return bucket, key or "", None

    async def _call_s3(self, method: str, *more: Any, **arguments: Any) -> Any:
        source = arguments.get("CopySource") or {}
        if {arguments.get("Bucket"), source.get("Bucket")} & paid_for():
            arguments.setdefault("RequestPayer", "requester")  # left out again where a method has no such argument
        return await super()._call_s3(method, *more, **arguments)

    call_s3 = sync_wrapper(_call_s3)


def paid_for() -> frozenset[str]:
    """The buckets, access points and their aliases whose requests are paid for."""
    return frozenset(filter(None, map(str.strip, os.environ.get(PAYS_FOR, "").split(","))))
