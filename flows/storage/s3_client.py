"""s3fs as this project uses it: keys are taken letter by letter, and who pays for a request is said with it."""

import os
from typing import Any

import s3fs
from fsspec.asyn import sync_wrapper

from flows.storage.spellings import bucket_and_key

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
        if arguments.get("Bucket") in paid_for():
            arguments.setdefault("RequestPayer", "requester")  # left out again where a method has no such argument
        return await super()._call_s3(method, *more, **arguments)

    call_s3 = sync_wrapper(_call_s3)


def paid_for() -> frozenset[str]:
    """The buckets, access points and their aliases whose requests are paid for."""
    return frozenset(filter(None, map(str.strip, os.environ.get(PAYS_FOR, "").split(","))))
