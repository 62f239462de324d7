"""Files on S3, through s3fs: each object is read or written whole in one request; large files are uploaded in parts.

This package has the same functions as `flows.storage.local`. Its modules:

    objects   the functions on single objects, with conditional writes for `create` and `swap`
    listings  many objects in few requests
    uploads   local files, the large ones in parts
    requests  single requests, and `ask`, which translates their errors and retries transient ones
    errors    errors of requests to this project's error classes
    accounts  the credentials and the endpoint of a request, described for error messages
    client    s3fs, adapted to literal keys and buckets where the requester pays
"""

from flows.storage.s3.listings import entries, identities, tree
from flows.storage.s3.objects import (
    copy,
    create,
    entry_of,
    fetch,
    identity,
    probe,
    read,
    read_with_version,
    remove,
    replace,
    replace_by,
    shortfalls,
    size,
    swap,
)

__all__ = [
    "copy",
    "create",
    "entries",
    "entry_of",
    "fetch",
    "identities",
    "identity",
    "probe",
    "read",
    "read_with_version",
    "remove",
    "replace",
    "replace_by",
    "shortfalls",
    "size",
    "swap",
    "tree",
]
