"""File storage: every read and write of the project goes through here, for local paths and S3 alike.

An address is an absolute local path or `s3://bucket/key`. Both kinds of storage make the same promises:

- `read` returns the whole file or raises an error; it never returns a part of the file;
- `create` writes a new file, or leaves an existing one as it is: of two writers, exactly one wins;
- `swap` is a compare-and-swap: it replaces a file only if that still has the version that was read, so that one of two
  writers loses and learns it;
- `replace` puts a whole new file in place of the old one: a reader sees the old or the new file, nothing in between.

Where a local file system lacks the necessary operation, the next strongest one is used. `shortfalls` then returns
which promises are weaker there, also for a store on S3 that ignores the condition of a write.

Callers use the functions of this package, such as `storage.read`. Its modules:

    files         the functions above, which choose local files or S3 by the address
    fan_out       a function applied to many inputs in a thread pool
    entry         the small types that listings and reads return
    addresses     addresses as text: which are valid, and how they are made absolute, joined and split
    spellings     other spellings of S3 addresses, such as ARNs and URLs, to plain ones
    globs         glob patterns to a folder and the files below it that match
    codings       Content-Encoding of S3 objects: decoding gzip
    retries       retries with exponential backoff, a number of attempts and a deadline
    s3/           objects on S3, through s3fs
    local         local files: temporary file, fsync, then an atomic link or rename
    mounts        fallbacks for file systems without hard links, locks, exclusive renames or fsync
    folders       folders opened by descriptor for writing, created where they are missing
    only_files    regular files opened for reading; pipes and devices are refused
    places        access control: where a file really lies, links resolved, and whether that is allowed
    local_errors  errors of the operating system to this project's error classes
    temporary     temporary files, with errors that name the temporary folder
"""

from flows.storage.addresses import absolute, check, is_local, is_s3, join, name_of, parent_of, stem_of
from flows.storage.entry import Entry, Fetched
from flows.storage.fan_out import each
from flows.storage.files import (
    copy,
    create,
    entries,
    entry_of,
    fetch,
    identities,
    identity,
    link,
    names,
    probe,
    read,
    read_if_there,
    read_with_version,
    remove,
    replace,
    replace_by,
    shortfalls,
    size,
    swap,
    sweep,
    temporary_files,
    tree,
)
from flows.storage.places import Places, guarded, real_address
from flows.storage.retries import HURRIED_SECONDS, hurried

__all__ = [
    "HURRIED_SECONDS",
    "Entry",
    "Fetched",
    "Places",
    "absolute",
    "check",
    "copy",
    "create",
    "each",
    "entries",
    "entry_of",
    "fetch",
    "guarded",
    "hurried",
    "identities",
    "identity",
    "is_local",
    "is_s3",
    "join",
    "link",
    "name_of",
    "names",
    "parent_of",
    "probe",
    "read",
    "read_if_there",
    "read_with_version",
    "real_address",
    "remove",
    "replace",
    "replace_by",
    "shortfalls",
    "size",
    "stem_of",
    "swap",
    "sweep",
    "temporary_files",
    "tree",
]
