"""Addresses as text: absolute local paths and `s3://bucket/key`. No I/O.

One function, `problem_of`, decides which addresses are valid: in the cells of a manifest, on a command line, and for
every file that is read or written. Cells and command lines also accept other spellings, see `spellings`.

S3 keys are taken literally: `?`, `#`, `%`, `+` and `//` have no special meaning. The address of a folder has no slash
at its end; if one remains, the folder's own name is empty, like that of the folder `a//` in `a//b.png`.
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
    """Return whether an address is on S3."""
    return address.startswith(S3)


def is_local(address: str) -> bool:
    """Return whether an address is a path, on which the functions of `os` work; any other is kept by a server."""
    return not is_s3(address)


def problem_of(address: str) -> str | None:
    """Return why a text is not a valid address, without repeating any secret in it; None if it is valid.

    Other schemes and chains of schemes are refused, and S3 keys with `.` or `..`, which some servers and proxies
    resolve like paths. A bucket alone, or a key with a slash at its end, is the address of a folder.

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
    """Check that an address is valid.

    Raises:
        NotAllowed: it is not; the message has the reason.
    """
    if problem := problem_of(address):
        # Text in the place of a bucket's name may contain a password.
        hidden = is_s3(address) and not _is_bucket(bucket_and_key(address)[0] or "none")
        shown = "s3://..." if hidden else redacted(address).strip() or "an empty address"
        raise NotAllowed(f"{shown}: {problem}")


def absolute(address: str) -> str:
    """Return an address from a command line in its plain, absolute form; `~` is the home folder.

    Raises:
        NotAllowed: it is not a valid address.
        NotFound: it is relative to a working folder that was removed.
    """
    try:
        plain_address = plain(address)
    except ValueError as error:
        raise NotAllowed(f"{_before_its_query(address)}: {error}") from None
    check(plain_address)
    if is_local(plain_address):
        return from_here(os.path.expanduser(plain_address))
    if plain_address.endswith("//"):  # without its last slash it would be the address of another folder
        raise NotAllowed(f"{plain_address}: expected at most one '/' at the end of an address")
    return plain_address.removesuffix("/")


def working_folder() -> str:
    """Return the current folder, which relative addresses start from.

    Raises:
        NotFound: it was removed since this process entered it.
    """
    try:
        return os.getcwd()
    except FileNotFoundError as error:
        raise NotFound("the working folder is gone: cd into one that is there, or give absolute paths") from error


def from_here(path: str) -> str:
    """Return a local path as an absolute one.

    Raises:
        NotFound: it is relative to a working folder that was removed.
    """
    return os.path.normpath(path if os.path.isabs(path) else os.path.join(working_folder(), path))


def resolved_address(cell: str, base: str) -> str:
    """Return the absolute address of an image that a manifest's cell names; relative ones start from `base`.

    Raises:
        ValueError: it is not a valid address of a file; the message says what was expected.
    >>> resolved_address("../images/cat.jpg", "/data/manifests")
    '/data/images/cat.jpg'
    >>> resolved_address("cat.jpg", "s3://bucket/manifests")
    's3://bucket/manifests/cat.jpg'
    """
    if not cell:
        raise ValueError(f"{WANTED}, the cell is empty")
    if cell.startswith("~"):  # its meaning depends on the user who reads the manifest
        raise ValueError(f"{WANTED}, got '~'; write the folder's full path")
    cell = plain(cell)
    is_relative = is_local(cell) and not os.path.isabs(cell)
    address = f"{base}/{cell}" if not is_local(base) and is_relative and problem_of(cell) is None else cell
    if problem := problem_of(address) or _folder_problem(address):
        raise ValueError(problem)
    return os.path.normpath(os.path.join(base, address)) if is_local(address) else address


def join(folder: str, *parts: str) -> str:
    """Return the address of a file or folder below a folder."""
    return os.path.join(folder, *parts) if is_local(folder) else "/".join((folder, *parts))


def name_of(address: str) -> str:
    """Return the last part of an address."""
    return os.path.basename(address) if is_local(address) else address.rstrip("/").rsplit("/", 1)[-1]


def stem_of(address: str) -> str:
    """Return the last part of an address without its extension.

    >>> stem_of("s3://bucket/in/cat.small.jpg"), stem_of("/in/.jpg")
    ('cat.small', '.jpg')
    """
    name = name_of(address)
    return name.rpartition(".")[0] or name


def parent_of(address: str) -> str:
    """Return the folder that contains an address."""
    return os.path.dirname(address) if is_local(address) else address.removesuffix("/").rsplit("/", 1)[0]


def normal(cell: str, address: str) -> str:
    """Return one spelling for all cells that name the same file; S3 keys that differ by a slash are different files.

    >>> normal("in//a.png", "/data/in/a.png"), normal("in//a.png", "s3://studio/in//a.png")
    ('in/a.png', 'in//a.png')
    """
    return cell if is_s3(address) and "//" in address.removeprefix(S3) else os.path.normpath(cell)


def _s3_problem(address: str) -> str | None:
    bucket, key = bucket_and_key(address)
    if not bucket:
        return "expected s3://bucket/key, got no bucket"
    if not _is_bucket(bucket):  # text before a ':' may contain a password, and an '@' may lead to another host
        return "expected s3://bucket/key, got something that is no bucket's name"
    if key and not {".", ".."}.isdisjoint(key.split("/")):
        return "an S3 key takes no '.' or '..' between slashes; write the key in full"
    if key and (length := len(key.encode())) > MOST_KEY_BYTES:
        return f"an S3 key has at most {MOST_KEY_BYTES:,} bytes, got {length:,}"
    return None


def _is_bucket(name: str) -> bool:
    return _BUCKET.fullmatch(name) is not None or is_access_point(name)


def _folder_problem(address: str) -> str | None:
    """Return why an S3 address cannot be that of a single object; a local path always passes."""
    if is_s3(address) and not bucket_and_key(address)[1]:
        return "expected s3://bucket/key, got no key"
    return "expected s3://bucket/key, got a folder, with a '/' last" if is_s3(address) and address[-1] == "/" else None


def _before_its_query(address: str) -> str:
    """Return the part of an address that is safe to show: its query may contain a signature."""
    return redacted(address).partition("?")[0]
