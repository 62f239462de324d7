"""The objects of a folder, and what a listing tells of those that are asked for."""

from collections.abc import Iterator

from flows.errors import CredentialsExpired, Forbidden, NotFound
from flows.storage.entry import Entry
from flows.storage.s3.requests import LIST, identity_of, list_page
from flows.storage.spellings import bucket_and_key

WORTH_A_LISTING = 20
"""From so many objects of one folder on, listing them is cheaper than asking for each."""


def entries(folder: str) -> list[Entry]:
    """See `flows.storage.entries`."""
    return _listed(folder, "/")


def tree(folder: str) -> list[Entry]:
    """See `flows.storage.tree`; what ends with a slash stands for a folder."""
    return [entry for entry in _listed(folder, "") if not entry.name.endswith("/")]


def _listed(folder: str, delimiter: str) -> list[Entry]:
    bucket, prefix = _bucket_and_prefix(folder)
    try:
        pages = list(_pages(bucket, prefix, delimiter=delimiter))
    except NotFound:  # of the bucket
        return []
    found = [entry for page in pages for entry in page if entry.name]
    return sorted(found, key=lambda entry: entry.name)


def identities(addresses: list[str]) -> dict[str, str | None]:
    """The identities of those addresses that a listing of their folder tells; the others are left out."""
    by_folder: dict[str, list[str]] = {}
    for address in addresses:
        by_folder.setdefault(address.rpartition("/")[0], []).append(address)
    told: dict[str, str | None] = {}
    for folder, wanted in by_folder.items():
        if len(wanted) >= WORTH_A_LISTING:
            told |= _listed_identities(folder, wanted)
    return told


def _listed_identities(folder: str, wanted: list[str]) -> dict[str, str | None]:
    try:
        return _identities_below(folder, wanted)
    except CredentialsExpired:
        raise
    except Forbidden:  # one may be allowed to read objects and not to list them
        return {}
    except NotFound:  # of the bucket
        return dict.fromkeys(wanted)


def _pages(bucket: str, prefix: str, start_after: str = "", delimiter: str = "/") -> Iterator[list[Entry]]:
    """The objects right below a prefix, page by page; without a delimiter, all below it."""
    more: dict[str, str] = {"StartAfter": start_after} if start_after else {}
    while True:
        asked = {"Bucket": bucket, "Prefix": prefix, "Delimiter": delimiter} | more
        page = list_page(f"s3://{bucket}/{prefix}", LIST, "list_objects_v2", **asked)
        yield [
            Entry(one["Key"][len(prefix) :], str(one["ETag"]), int(one["Size"]), one["LastModified"].timestamp())
            for one in page.get("Contents", ())
        ]
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def _identities_below(folder: str, wanted: list[str]) -> dict[str, str | None]:
    """Identities from a listing, as long as it is worth its pages: what is wanted may be few among very many."""
    bucket, prefix = _bucket_and_prefix(folder)
    names = sorted((address.rpartition("/")[2] for address in wanted), key=str.encode)
    found: dict[str, str | None] = {}
    last = ""
    pages = _pages(bucket, prefix, start_after=f"{prefix}{_just_before(names[0])}")
    for number, page in enumerate(pages, start=1):
        found |= {entry.name: identity_of(entry.version, entry.size) for entry in page}
        last = max((entry.name for entry in page), key=str.encode, default=last)
        passed = sum(name.encode() <= last.encode() for name in names)
        if passed == len(names) or number > 2 + passed // WORTH_A_LISTING:
            break
    else:
        last = names[-1]
    told = [name for name in names if name.encode() <= last.encode()]
    return {f"{folder}/{name}": found.get(name) for name in told}


def _just_before(name: str) -> str:
    """A name that sorts before another, with next to nothing between."""
    return name[:-1]


def _bucket_and_prefix(folder: str) -> tuple[str, str]:
    bucket, key = bucket_and_key(folder)
    return bucket, "" if key is None else f"{key}/"
