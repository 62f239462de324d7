"""flows.storage: the promises that local files and S3 objects both keep."""

import threading
from pathlib import Path

import pytest

from flows import storage
from flows.errors import NotAFile, NotFound, StorageError, TooLarge

THREADS, KEYS = 8, 10


@pytest.fixture(params=["local", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty folder, local or on S3."""
    if request.param == "local":
        return str(tmp_path)
    return storage.join(request.getfixturevalue("s3_bucket"), "some", "prefix")


def test_a_file_is_read_as_it_was_created(folder: str) -> None:
    """`read` returns exactly the bytes that `create` wrote."""
    address = storage.join(folder, "a.bin")
    data = bytes(range(256)) * 1000
    created = storage.create(address, data)

    assert created is True
    assert storage.read(address) == data


def test_a_missing_file_is_not_found(folder: str) -> None:
    """Reading a missing file raises NotFound, which names the address and is not retryable."""
    address = storage.join(folder, "none", "a.bin")

    for max_bytes in (None, 10):
        with pytest.raises(NotFound, match=address) as caught:
            storage.read(address, max_bytes)
        assert not caught.value.retryable


def test_a_file_over_the_limit_is_too_large(folder: str) -> None:
    """`read` accepts up to max_bytes; one byte more raises TooLarge, with the limit in the message."""
    address = storage.join(folder, "a.bin")
    storage.create(address, b"12345")

    assert storage.read(address, 5) == b"12345"
    with pytest.raises(TooLarge, match=f"{address}.*at most 4 bytes, found"):
        storage.read(address, 4)


def test_create_leaves_an_existing_file_unchanged(folder: str) -> None:
    """A second `create` returns False, and the file keeps its first bytes."""
    address = storage.join(folder, "a.txt")
    storage.create(address, b"first")
    created = storage.create(address, b"second")

    assert created is False
    assert storage.read(address) == b"first"


def test_a_race_to_create_has_exactly_one_winner(folder: str) -> None:
    """Of many threads that create one file at once, exactly one gets True, and the file has its bytes."""
    barrier = threading.Barrier(THREADS)
    winners: dict[int, list[bytes]] = {key: [] for key in range(KEYS)}

    def create_all(thread: int) -> None:
        for key in range(KEYS):
            data = f"thread {thread}".encode()
            barrier.wait()
            if storage.create(storage.join(folder, f"{key}.txt"), data):
                winners[key].append(data)

    threads = [threading.Thread(target=create_all, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [len(won) for won in winners.values()] == [1] * KEYS
    for key, (data,) in winners.items():
        assert storage.read(storage.join(folder, f"{key}.txt")) == data


def test_replace_creates_or_replaces_a_file(folder: str) -> None:
    """`replace` writes a whole file, in place of any existing one, also a shorter or an empty one."""
    address = storage.join(folder, "a.txt")
    seen = []
    for data in (b"a long first version", b"short", b""):
        storage.replace(address, data)
        seen.append(storage.read(address))

    assert seen == [b"a long first version", b"short", b""]


def test_removing_a_missing_file_does_nothing(folder: str) -> None:
    """`remove` removes the file, and does nothing if the file or its folder does not exist."""
    address = storage.join(folder, "a.txt")
    storage.create(address, b"data")
    storage.create(storage.join(folder, "b.txt"), b"data")
    storage.remove(address)
    storage.remove(address)
    storage.remove(storage.join(folder, "no", "such", "folder.txt"))

    assert storage.names(folder) == ["b.txt"]


def test_names_are_sorted_and_of_one_folder(folder: str) -> None:
    """`names` returns the files of one folder in order, without those in its subfolders."""
    for name in ("b.txt", "a.txt", "B.txt", "c/d.txt", "a"):
        storage.create(storage.join(folder, *name.split("/")), b"data")

    assert storage.names(folder) == ["B.txt", "a", "a.txt", "b.txt"]
    assert storage.names(storage.join(folder, "c")) == ["d.txt"]


def test_listings_are_never_cached(folder: str) -> None:
    """A listing shows files created or removed since the last one."""
    listings = [storage.names(folder)]
    storage.create(storage.join(folder, "a.txt"), b"data")
    listings.append(storage.names(folder))
    storage.remove(storage.join(folder, "a.txt"))
    listings.append(storage.names(folder))

    assert listings == [[], ["a.txt"], []]


def test_a_missing_folder_has_no_names(folder: str) -> None:
    """`names` of a missing folder returns an empty list and raises no error."""
    assert storage.names(storage.join(folder, "none")) == []


def test_a_folder_is_not_a_mere_prefix(folder: str) -> None:
    """The names in `runs` do not include those in `runs-old`."""
    storage.create(storage.join(folder, "runs", "a.txt"), b"data")
    storage.create(storage.join(folder, "runs-old", "b.txt"), b"data")

    assert storage.names(storage.join(folder, "runs")) == ["a.txt"]


def test_identity_changes_with_the_content(folder: str) -> None:
    """The identity changes with the bytes, and is the old one again when the old bytes are written again."""
    address = storage.join(folder, "a.txt")
    identities = []
    for data in (b"one", b"two", b"one"):
        storage.replace(address, data)
        identities.append(storage.identity(address))
    again = storage.identity(address)

    assert None not in identities
    assert identities[0] != identities[1]
    assert identities[0] == identities[2] == again


def test_missing_files_and_folders_have_no_identity(folder: str) -> None:
    """The identity of a missing file is None; that of a folder is None or the error NotAFile of that address alone."""
    storage.create(storage.join(folder, "below", "a.txt"), b"data")
    below = storage.join(folder, "below")
    found = storage.identities([storage.join(folder, "none.txt"), below])

    assert found.pop(storage.join(folder, "none.txt")) is None
    assert isinstance(found[below], NotAFile) or found[below] is None


def test_reading_a_folder_is_an_error(folder: str) -> None:
    """Reading a folder raises an error that is not retryable."""
    storage.create(storage.join(folder, "below", "a.txt"), b"data")

    with pytest.raises(StorageError) as caught:
        storage.read(storage.join(folder, "below"))
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "name", ["with space.txt", "größe.txt", "猫 と 波.png", "a+b=c&d.txt", "100%.txt", "%41.txt", "it's.txt", "😀"]
)
def test_names_may_have_any_characters(folder: str, name: str) -> None:
    """Spaces, accents, other scripts and characters that are special in URLs are ordinary characters of a name."""
    address = storage.join(folder, "in a földer", name)
    storage.create(address, b"data")

    assert storage.read(address) == b"data"
    assert storage.names(storage.join(folder, "in a földer")) == [name]
    assert storage.identity(address) is not None


def test_each_returns_results_in_the_order_of_the_inputs(folder: str) -> None:
    """`each` processes many inputs at once and returns the results in their order; an error of one is raised."""
    addresses = [storage.join(folder, f"{number}.txt") for number in range(40)]
    storage.each(lambda address: storage.create(address, storage.name_of(address).encode()), addresses)

    assert storage.each(storage.read, addresses) == [f"{number}.txt".encode() for number in range(40)]
    with pytest.raises(NotFound):
        storage.each(storage.read, [*addresses, storage.join(folder, "none")])


def test_replace_by_writes_a_copy_of_a_local_file(folder: str, tmp_path: Path) -> None:
    """`replace_by` writes the whole local file, in place of any existing one, and keeps the local file."""
    address, source = storage.join(folder, "new", "a.bin"), tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 10)
    storage.replace_by(address, str(source))
    storage.replace_by(address, str(source))

    assert storage.read(address) == source.read_bytes()


def test_a_tree_is_all_files_below_a_folder(folder: str) -> None:
    """`tree` returns sorted relative paths with sizes; for a missing folder, or a file, it returns an empty list."""
    for name in ("b.txt", "a/z.txt", "a/b/c.txt", "ab.txt"):
        storage.create(storage.join(folder, "in", name), b"12345")

    found = storage.tree(storage.join(folder, "in"))
    assert [(entry.name, entry.size) for entry in found] == [
        ("a/b/c.txt", 5),
        ("a/z.txt", 5),
        ("ab.txt", 5),
        ("b.txt", 5),
    ]
    assert storage.tree(storage.join(folder, "absent")) == []
    assert storage.tree(storage.join(folder, "in", "b.txt")) == []


def test_an_entry_is_the_one_of_the_listing(folder: str) -> None:
    """`entry_of` returns name, version and size as the listing has them; None for a missing file."""
    address = storage.join(folder, "in", "a b.txt")
    storage.create(address, b"12345")
    (listed,) = storage.entries(storage.join(folder, "in"))
    found = storage.entry_of(address)

    assert found is not None
    assert (found.name, found.version, found.size) == (listed.name, listed.version, listed.size)
    assert abs(found.modified - listed.modified) < 1.0
    assert storage.entry_of(storage.join(folder, "in", "none")) is None


@pytest.fixture(params=["same storage", "other storage"])
def other(request: pytest.FixtureRequest, folder: str, tmp_path: Path) -> str:
    """The address of a folder in the same storage, or in the other one."""
    if request.param == "same storage":
        return storage.join(folder, "other")
    return str(tmp_path / "far") if storage.is_s3(folder) else f"{request.getfixturevalue('s3_bucket')}/far"


def test_a_copy_has_the_same_bytes(folder: str, other: str) -> None:
    """`copy` writes a whole file within one storage or between both, in place of any existing one."""
    source, target = storage.join(folder, "a b+c.bin"), storage.join(other, "deep", "b.bin")
    storage.replace(source, bytes(range(256)) * 999)
    storage.replace(target, b"older")
    storage.copy(source, target)

    assert storage.read(target) == bytes(range(256)) * 999
    assert storage.names(storage.join(other, "deep")) == ["b.bin"]


def test_copying_a_missing_file_is_not_found(folder: str, other: str) -> None:
    """Copying a missing file raises NotFound, which names it, and creates nothing."""
    source = storage.join(folder, "none.bin")
    with pytest.raises(NotFound, match=source):
        storage.copy(source, storage.join(other, "b.bin"))

    assert storage.tree(other) == []
