"""Listings: the objects in a folder, and the identities of many objects from few requests."""

from collections.abc import Iterator

from flows.errors import CredentialsExpired, Forbidden, NotFound
from flows.storage.entry import Entry
from flows.storage.s3.requests import LIST, identity_of, list_page
from flows.storage.spellings import bucket_and_key

WORTH_A_LISTING = 20
"""The number of objects of one folder from which a listing is cheaper than one request per object."""


def entries(folder: str) -> list[Entry]:
    """See `flows.storage.entries`."""
    return _listed(folder, "/")


def tree(folder: str) -> list[Entry]:
    """See `flows.storage.tree`; objects whose key ends with a slash only mark folders, and are left out."""
    return [entry for entry in _listed(folder, "") if not entry.name.endswith("/")]


def _listed(folder: str, delimiter: str) -> list[Entry]:
    bucket, prefix = _bucket_and_prefix(folder)
    try:
        pages = list(_pages(bucket, prefix, delimiter=delimiter))
    except NotFound:  # the bucket does not exist
        return []
    found = [entry for page in pages for entry in page if entry.name]
    return sorted(found, key=lambda entry: entry.name)


def identities(addresses: list[str]) -> dict[str, str | None]:
    """Return the identities of those addresses for which listing their folder is worthwhile; leave out the others."""
    by_folder: dict[str, list[str]] = {}
    for address in addresses:
        by_folder.setdefault(address.rpartition("/")[0], []).append(address)
    known: dict[str, str | None] = {}
    for folder, wanted in by_folder.items():
        if len(wanted) >= WORTH_A_LISTING:
            known |= _listed_identities(folder, wanted)
    return known


def _listed_identities(folder: str, wanted: list[str]) -> dict[str, str | None]:
    try:
        return _identities_below(folder, wanted)
    except CredentialsExpired:
        raise
    except Forbidden:  # the credentials may allow to read objects but not to list them
        return {}
    except NotFound:  # the bucket does not exist
        return dict.fromkeys(wanted)


def _pages(bucket: str, prefix: str, start_after: str = "", delimiter: str = "/") -> Iterator[list[Entry]]:
    """Yield the objects directly below a prefix, page by page; all objects below it if the delimiter is empty."""
    more: dict[str, str] = {"StartAfter": start_after} if start_after else {}
    while True:
        arguments = {"Bucket": bucket, "Prefix": prefix, "Delimiter": delimiter} | more
        page = list_page(f"s3://{bucket}/{prefix}", LIST, "list_objects_v2", **arguments)
        yield [
            Entry(one["Key"][len(prefix) :], str(one["ETag"]), int(one["Size"]), one["LastModified"].timestamp())
            for one in page.get("Contents", ())
        ]
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def _identities_below(folder: str, wanted: list[str]) -> dict[str, str | None]:
    """Return identities from a listing, which ends early if it takes too many pages for the objects wanted.

    They may be few among very many; those that were not reached are left out.
    """
    bucket, prefix = _bucket_and_prefix(folder)
    names = sorted((address.rpartition("/")[2] for address in wanted), key=str.encode)
    found: dict[str, str | None] = {}
    last = ""
    pages = _pages(bucket, prefix, start_after=f"{prefix}{names[0][:-1]}")  # which sorts just before it
    for number, page in enumerate(pages, start=1):
        found |= {entry.name: identity_of(entry.version, entry.size) for entry in page}
        last = max((entry.name for entry in page), key=str.encode, default=last)
        passed = sum(name.encode() <= last.encode() for name in names)
        if passed == len(names) or number > 2 + passed // WORTH_A_LISTING:
            break
    else:
        last = names[-1]
    listed = [name for name in names if name.encode() <= last.encode()]
    return {f"{folder}/{name}": found.get(name) for name in listed}


def _bucket_and_prefix(folder: str) -> tuple[str, str]:
    bucket, key = bucket_and_key(folder)
    return bucket, "" if key is None else f"{key}/"
