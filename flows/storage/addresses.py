"""Addresses as text: absolute local paths and `s3://bucket/key`. No I/O.

One rule says what an address may be, `problem_of`: for the cells of a manifest, for what is typed at a command line,
and for every file that is read or written. Cells and command lines take other spellings of it too, see `spellings`.

A key is taken letter by letter: `?`, `#`, `%`, `+` and `//` mean nothing but themselves. The address of a folder has no
slash at its end; where one is left, the folder's own name is empty, as that of `a//` in `a//b.png`.
"""

import os
import re

from flows.errors import NotAllowed, NotFound
from flows.storage.spellings import bucket_and_key, is_access_point, plain
from flows.wording import redacted

S3 = "s3://"
WANTED = "expected a local path or s3://bucket/key"
MOST_KEY_BYTES = 1024
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def is_s3(address: str) -> bool:
    """Whether an address is on S3."""
    return address.startswith(S3)


def problem_of(address: str) -> str | None:
    """Why this is no address, in words that repeat nothing secret; None where it is one.

    Refused are other schemes, chains of schemes, and S3 keys with `.` or `..`, along which some servers and proxies
    walk. A bucket alone, or a key with a slash at its end, is the address of a folder.

    >>> problem_of("s3://bucket/a/../b")
    "an S3 key takes no '.' or '..' between slashes; write the key in full"
    """
    if not address.strip():
        return f"{WANTED}, found nothing"
    if "\0" in address:
        return f"{WANTED}, got a NUL character"
    if not address.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in address):
        return f"{WANTED}, got a name that is not UTF-8, which no record could hold; rename it"
    if is_s3(address):
        return _s3_problem(address)
    if address.lower().startswith("arn:"):
        return f"{WANTED}, got an ARN"
    if "::" in address:
        return f"{WANTED}, got a chain of addresses ('::')"
    scheme = _SCHEME.match(address)
    return f"{WANTED}, got an address that starts with {scheme[0]!r}" if scheme else None


def check(address: str) -> None:
    """Refuse what is no address.

    Raises:
        NotAllowed: with the reason.
    """
    if problem := problem_of(address):
        # What stands where a bucket's name should may hold a password.
        hidden = is_s3(address) and not _is_bucket(bucket_and_key(address)[0] or "none")
        shown = "s3://..." if hidden else redacted(address).strip() or "an empty address"
        raise NotAllowed(f"{shown}: {problem}")


def absolute(address: str) -> str:
    """An address as typed at a command line, made plain and absolute; `~` means home there.

    Raises:
        NotAllowed: if it is none.
        NotFound: if it starts from a working folder that is gone.
    """
    try:
        meant = plain(address)
    except ValueError as error:
        raise NotAllowed(f"{_before_its_query(address)}: {error}") from None
    check(meant)
    if not is_s3(meant):
        return from_here(os.path.expanduser(meant))
    if meant.endswith("//"):  # of one slash and of two, a folder's address would no longer tell
        raise NotAllowed(f"{meant}: expected at most one '/' at the end of an address")
    return meant.removesuffix("/")


def working_folder() -> str:
    """Where relative addresses start.

    Raises:
        NotFound: if it was removed since this process began there.
    """
    try:
        return os.getcwd()
    except FileNotFoundError as error:
        raise NotFound("the working folder is gone: cd into one that is there, or give absolute paths") from error


def from_here(path: str) -> str:
    """A local path made absolute.

    Raises:
        NotFound: if it starts from a working folder that is gone.
    """
    return os.path.normpath(path if os.path.isabs(path) else os.path.join(working_folder(), path))


def resolved_address(cell: str, base: str) -> str:
    """The address of a picture as a manifest has it, made absolute; a relative one starts from `base`.

    Raises:
        ValueError: it is none; the message says what was expected.
    >>> resolved_address("../images/cat.jpg", "/data/manifests")
    '/data/images/cat.jpg'
    >>> resolved_address("cat.jpg", "s3://bucket/manifests")
    's3://bucket/manifests/cat.jpg'
    """
    if not cell:
        raise ValueError(f"{WANTED}, the cell is empty")
    if cell.startswith("~"):  # whose home it is, depends on who reads it
        raise ValueError(f"{WANTED}, got '~'; write the folder's full path")
    cell = plain(cell)
    is_relative = not is_s3(cell) and not os.path.isabs(cell)
    address = f"{base}/{cell}" if is_s3(base) and is_relative and problem_of(cell) is None else cell
    if problem := problem_of(address) or _folder_problem(address):
        raise ValueError(problem)
    return address if is_s3(address) else os.path.normpath(os.path.join(base, address))


def join(folder: str, *parts: str) -> str:
    """An address below a folder."""
    return "/".join((folder, *parts)) if is_s3(folder) else os.path.join(folder, *parts)


def name_of(address: str) -> str:
    """The last part of an address."""
    return address.rstrip("/").rsplit("/", 1)[-1] if is_s3(address) else os.path.basename(address)


def parent_of(address: str) -> str:
    """The folder an address is in."""
    return address.removesuffix("/").rsplit("/", 1)[0] if is_s3(address) else os.path.dirname(address)


def normal(cell: str, address: str) -> str:
    """A cell in the one spelling of all that lead to the same file; S3 keys that differ in a slash are two.

    >>> normal("in//a.png", "/data/in/a.png"), normal("in//a.png", "s3://studio/in//a.png")
    ('in/a.png', 'in//a.png')
    """
    return cell if is_s3(address) and "//" in address.removeprefix(S3) else os.path.normpath(cell)


def _s3_problem(address: str) -> str | None:
    bucket, key = bucket_and_key(address)
    if not bucket:
        return "expected s3://bucket/key, got no bucket"
    if not _is_bucket(bucket):  # a ':' may hold a password, an '@' lead to another host
        return "expected s3://bucket/key, got something that is no bucket's name"
    if key and not {".", ".."}.isdisjoint(key.split("/")):
        return "an S3 key takes no '.' or '..' between slashes; write the key in full"
    if key and (length := len(key.encode())) > MOST_KEY_BYTES:
        return f"an S3 key has at most {MOST_KEY_BYTES:,} bytes, got {length:,}"
    return None


def _is_bucket(name: str) -> bool:
    return _BUCKET.fullmatch(name) is not None or is_access_point(name)


def _folder_problem(address: str) -> str | None:
    """Why an address cannot be that of a single object; a local one may be that of anything."""
    if is_s3(address) and not bucket_and_key(address)[1]:
        return "expected s3://bucket/key, got no key"
    return "expected s3://bucket/key, got a folder, with a '/' last" if is_s3(address) and address[-1] == "/" else None


def _before_its_query(address: str) -> str:
    """What is shown of an address that may be signed."""
    return redacted(address).partition("?")[0]
