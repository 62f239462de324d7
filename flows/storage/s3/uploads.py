"""Uploads of local files; a large one is sent in parts, which S3 stores and bills until they are joined or aborted."""

import asyncio
import math
import os
import time
from contextlib import suppress
from typing import Any, BinaryIO

from flows.storage.retries import HURRIED_SECONDS
from flows.storage.s3.errors import NotS3
from flows.storage.s3.requests import content_type, filesystem, from_s3, put, split

LARGE_FILE_BYTES = 100 << 20
"""The size from which a file is sent in parts."""
PART_BYTES = 16 << 20
PARTS_AT_ONCE = 8
"""How many parts are sent at a time, and so held in memory."""
MOST_PARTS = 10_000
"""How many parts an object may have on S3."""


def put_file(address: str, path: str, left: float) -> None:
    """Write a copy of a local file; to be called in `ask`."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size >= LARGE_FILE_BYTES:
            _put_in_parts(address, file, left)
        else:
            put(address, file.read(), left)


def _put_in_parts(address: str, file: BinaryIO, left: float) -> None:
    """Write a copy of a file in parts, or abort the upload, whatever ends it.

    s3fs would abort it after an error of S3 only, not at the deadline nor after an interruption.
    """
    ends = time.monotonic() + left
    s3, (bucket, key) = filesystem(), split(address)
    begun = s3.call_s3("create_multipart_upload", Bucket=bucket, Key=key, **content_type(address), timeout=left)
    if not begun.get("UploadId"):
        raise NotS3
    upload = {"Bucket": bucket, "Key": key, "UploadId": begun["UploadId"]}
    sent = asyncio.run_coroutine_threadsafe(_send_parts(upload, file), s3.loop)
    try:
        parts = {"Parts": sent.result(ends - time.monotonic())}
        left = max(ends - time.monotonic(), 1.0)
        from_s3(s3.call_s3("complete_multipart_upload", **upload, MultipartUpload=parts, timeout=left))
    except BaseException:
        sent.cancel()
        with suppress(Exception):  # a rule of the bucket may abort it later; the error that ended it is what matters
            s3.call_s3("abort_multipart_upload", **upload, timeout=HURRIED_SECONDS)
        raise


async def _send_parts(upload: dict[str, str], file: BinaryIO) -> list[dict[str, Any]]:
    """Send all parts of a file, and return what completes the upload: the number and the ETag of each."""
    size = os.fstat(file.fileno()).st_size
    part_bytes = max(PART_BYTES, math.ceil(size / MOST_PARTS))
    turns = asyncio.Semaphore(PARTS_AT_ONCE)

    async def send(number: int) -> dict[str, Any]:
        async with turns:
            data = os.pread(file.fileno(), part_bytes, (number - 1) * part_bytes)
            answer = await filesystem()._call_s3("upload_part", **upload, PartNumber=number, Body=data)
            return {"PartNumber": number, "ETag": from_s3(answer)["ETag"]}

    sending = [asyncio.ensure_future(send(number)) for number in range(1, math.ceil(size / part_bytes) + 1)]
    try:
        return await asyncio.gather(*sending)
    finally:
        for one in sending:  # after the failure of one part, the others would still be sent
            one.cancel()
