"""flows.export: repeated exports of an output's finished images as a dataset, on disk and on S3."""

import csv
import hashlib
import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows import storage
from flows.errors import OutputBusy, OutputError, StorageError
from flows.export import Exported, Layout, Request, dataset, export
from flows.export.destination import EXPORT
from flows.export.state_file import NAME
from flows.limits import Limits
from flows.output import Ledger, lease
from flows.records.columns import RESULT_COLUMNS
from flows.storage.files import ABANDONED_SECONDS
from nst_core.errors import OptionsError
from tests.flows.builders import FINGERPRINT, OTHER_FINGERPRINT, pair_record
from tests.flows.outputs import Output

EXTRA = "artist"
OURS = (NAME, EXPORT.file)
"""The files that an export keeps for itself."""
MANY = 40
"""Number of pairs of the fixture `many`."""
BY_DEVICE = "{pair_id}-{device}"
"""A template with a column that pending rows have no value for."""


def exported(output: Output, dest: str, **asked: Any) -> Exported:
    return export(Request(output.address, dest, **asked))


def files(dest: str) -> dict[str, bytes]:
    """Return the files of a dataset without those that the export keeps for itself."""
    names = [entry.name for entry in storage.tree(dest) if entry.name not in OURS]
    return {name: storage.read(storage.join(dest, name)) for name in names}


def images(dest: str) -> dict[str, bytes]:
    """Return the images of an imagefolder or tree by name."""
    return {name: data for name, data in files(dest).items() if name not in ("metadata.csv", "SHA256SUMS")}


def image_of(output: Output, pair_id: str) -> bytes:
    (name,) = [name for name in storage.names(storage.join(output.address, "images")) if name.startswith(pair_id)]
    return storage.read(storage.join(output.address, "images", name))


def table(dest: str) -> list[dict[str, str]]:
    text = storage.read(storage.join(dest, "metadata.csv")).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def samples(dest: str) -> dict[str, dict[str, bytes]]:
    """Return the content of every shard: shard -> name -> bytes."""
    found: dict[str, dict[str, bytes]] = {}
    for name, data in files(dest).items():
        if name.endswith(".tar"):
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                found[name] = {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]
    return found


@pytest.fixture(params=["beside", "elsewhere"])
def dest(request: pytest.FixtureRequest, place: str, tmp_path: Path) -> str:
    """A destination next to the output, or on the other storage than the output."""
    if request.param == "beside":
        return f"{place}/data"
    return str(tmp_path / "far") if storage.is_s3(place) else f"{request.getfixturevalue('s3_bucket')}/far"


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Output:
    """An output on disk with MANY finished pairs, which are copied in batches of 16."""
    rows = "".join(f"p{n:03d},c.png,s{n}.png\n" for n in range(MANY))
    monkeypatch.setattr("flows.export.dataset.AT_ONCE", 16)
    made = Output(str(tmp_path / "many"), f"id,content,style\n{rows}", "/in/pairs.csv")
    for n in range(MANY):
        made.done(f"p{n:03d}", size=(16, 16))
    return made


# ---------------------------------------------------------------- layouts


def test_an_imagefolder_has_the_finished_images_and_their_rows(output: Output, dest: str) -> None:
    """Of an unfinished output the succeeded pairs are exported byte for byte, each with a row in metadata.csv."""
    told = exported(output, dest)

    assert (told.pictures, told.new, told.there, told.left_out) == (3, 3, 0, ())
    assert images(dest) == {f"{name}.png": image_of(output, name) for name in ("cat", "dog", "bridge")}
    rows = table(dest)
    assert [row["file_name"] for row in rows] == ["cat.png", "dog.png", "bridge.png"]
    assert list(rows[0]) == [
        "file_name",
        *(name for name in RESULT_COLUMNS if name not in ("status", "error_kind", "error")),
        EXTRA,
    ]
    assert (rows[0]["total_loss"], rows[0]["style"], rows[0][EXTRA]) == (repr(0.1 + 0.2), "art/waves.jpg", "Hokusai")
    assert rows[1][EXTRA] == "'=1+1"


def test_a_tree_mirrors_the_folders_of_the_contents(output: Output, place: str) -> None:
    """The folders start below the one that all contents share, pending ones included, so that names stay the same
    later.
    """
    exported(output, f"{place}/data", layout=Layout.TREE)

    assert list(images(f"{place}/data")) == ["photos/pets/cat.png", "photos/pets/dog.png", "photos/town/bridge.png"]
    assert [row["file_name"] for row in table(f"{place}/data")] == [
        "photos/pets/cat.png",
        "photos/pets/dog.png",
        "photos/town/bridge.png",
    ]


def test_a_tree_of_contents_on_s3_and_disk_has_no_folder_named_s3(s3_bucket: str, tmp_path: Path) -> None:
    """Contents on S3 and on disk share no folder: the bucket and the folders of the disk lie side by side."""
    bucket = s3_bucket.removeprefix("s3://")
    rows = f"cat,{s3_bucket}/pets/cat.png,s.png\ndog,/photos/dog.png,s.png\n"
    output = Output(str(tmp_path / "out"), f"id,content,style\n{rows}", "/in/pairs.csv")
    for pair_id in ("cat", "dog"):
        output.done(pair_id)

    exported(output, str(tmp_path / "data"), layout=Layout.TREE)

    assert set(images(str(tmp_path / "data"))) == {f"{bucket}/pets/cat.png", "photos/dog.png"}


def test_shards_hold_each_image_with_its_row(output: Output, dest: str) -> None:
    """A tar file has KEY.png next to KEY.json, whose values keep their types."""
    exported(output, dest, layout=Layout.WEBDATASET)

    ((name, members),) = samples(dest).items()
    assert name == "shard-000000.tar"
    assert list(members) == ["cat.png", "cat.json", "dog.png", "dog.json", "bridge.png", "bridge.json"]
    assert members["dog.png"] == image_of(output, "dog")
    cat, dog = (json.loads(members[f"{one}.json"]) for one in ("cat", "dog"))
    assert (cat["pair_id"], cat["row"], cat["total_loss"], cat[EXTRA]) == ("cat", 2, 0.1 + 0.2, "Hokusai")
    assert dog[EXTRA] == "=1+1"
    assert "metadata.csv" not in files(dest)


def test_names_follow_a_template(output: Output, place: str) -> None:
    """A template can name a folder after the style and the file after the content."""
    exported(output, f"{place}/data", name="{style}/{content}.png")

    assert set(images(f"{place}/data")) == {"waves/cat.png", "waves/dog.v2.png", "night/bridge.png"}


@pytest.mark.parametrize("layout", Layout)
def test_the_checksums_are_those_of_the_files(many: Output, tmp_path: Path, layout: Layout) -> None:
    """`sha256sum -c SHA256SUMS` checks every image or shard of the dataset."""
    exported(many, str(tmp_path / "data"), layout=layout, shard_mb=1)

    done = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path / "data", capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == len(list(tmp_path.glob("data/*.png"))) + len(
        list(tmp_path.glob("data/*.tar"))
    )
    assert done.stdout.count(": OK") >= 1


def test_columns_that_datasets_would_load_as_images_are_renamed(tmp_path: Path) -> None:
    """The datasets library would load `image` and every column that ends in `_file_name` as images."""
    text = "id,content,style,image,file_name,mask_file_name,filename\ncat,c.png,s.png,a,b,c,d\n"
    made = Output(str(tmp_path / "out"), text, "/in/pairs.csv")
    made.done("cat")
    exported(made, str(tmp_path / "data"))

    (row,) = table(str(tmp_path / "data"))
    assert list(row)[-4:] == ["image_in_manifest", "file_name_in_manifest", "mask_file_name_in_manifest", "filename"]
    assert (row["file_name"], row["file_name_in_manifest"]) == ("cat.png", "b")


def test_links_share_the_outputs_files(many: Output, tmp_path: Path) -> None:
    """With hard links no image takes space twice, and no temporary file is left."""
    told = exported(many, str(tmp_path / "data"), linked=True)
    again = exported(many, str(tmp_path / "data"), linked=True)

    assert (told.new, again.new, again.there) == (MANY, 0, MANY)
    assert {path.stat().st_nlink for path in tmp_path.glob("data/*.png")} == {2}
    assert {path.stat().st_nlink for path in tmp_path.glob("many/images/*.png")} == {2}
    assert [path.name for path in tmp_path.rglob(".tmp-*")] == []


def test_links_need_one_disk(output: Output, place: str, tmp_path: Path) -> None:
    """Links on S3, into shards or onto another file system are refused with the reason, not silently copied."""
    if storage.is_s3(place):
        with pytest.raises(OutputError, match="--link: expected an output and a destination on one disk"):
            exported(output, f"{place}/data", linked=True)
        return
    with pytest.raises(OutputError, match=r"--link: .* no shards"):
        exported(output, f"{place}/data", linked=True, layout=Layout.WEBDATASET)
    if os.path.isdir("/dev/shm") and os.stat("/dev/shm").st_dev != os.stat(tmp_path).st_dev:
        far = f"/dev/shm/nst-{os.getpid()}"
        try:
            with pytest.raises(OutputError, match=r"cannot be a hard link of .*: leave --link out"):
                exported(output, far, linked=True)
        finally:
            for name in os.listdir(far):
                os.unlink(f"{far}/{name}")
            os.rmdir(far)


# ---------------------------------------------------------------- a second export


@pytest.mark.parametrize("layout", Layout)
def test_a_second_export_adds_only_new_images(output: Output, dest: str, layout: Layout) -> None:
    """Existing files keep their bytes and times, and a pair that has finished since is added."""
    exported(output, dest, layout=layout)
    before = {entry.name: entry for entry in storage.tree(dest)}
    nothing = exported(output, dest, layout=layout)
    output.done("owl")
    told = exported(output, dest, layout=layout)
    after = {entry.name: entry for entry in storage.tree(dest)}

    assert (nothing.pictures, nothing.new, nothing.there) == (3, 0, 3)
    assert (told.pictures, told.new, told.there, told.replaced) == (4, 1, 3, 0)
    data = [name for name in before if name.endswith((".png", ".tar"))]
    assert data
    assert {name: after[name] for name in data} == {name: before[name] for name in data}
    if layout is Layout.WEBDATASET:
        assert list(samples(dest)["shard-000001.tar"]) == ["owl.png", "owl.json"]
    else:
        assert [row["pair_id"] for row in table(dest)] == ["cat", "dog", "bridge", "owl"]


@pytest.mark.parametrize("layout", Layout)
def test_a_second_export_reads_no_existing_image(many: Output, tmp_path: Path, layout: Layout) -> None:
    """Existing images and shards are recognised by the listing and the state file alone: here the
    output's are emptied.
    """
    dest = tmp_path / "data"
    exported(many, str(dest), layout=layout)
    for path in (tmp_path / "many" / "images").iterdir():
        path.write_bytes(b"")

    assert exported(many, str(dest), layout=layout).there == MANY


class Cut(Exception):
    pass


def cut_after(count: int) -> Callable[[int, int], None]:
    """Return a progress callback that interrupts an export after so many images."""

    def tell(done: int, _of: int) -> None:
        if done >= count:
            raise Cut

    return tell


@pytest.mark.parametrize("far", [False, True], ids=["to disk", "to S3"])
def test_an_interrupted_export_continues(
    many: Output, tmp_path: Path, far: bool, request: pytest.FixtureRequest
) -> None:
    """Images copied before the interruption are verified by checksum and kept; a damaged copy is replaced."""
    dest = f"{request.getfixturevalue('s3_bucket')}/data" if far else str(tmp_path / "data")
    with pytest.raises(Cut):
        export(Request(many.address, dest), cut_after(20))
    copied = [entry.name for entry in storage.tree(dest) if entry.name not in OURS]
    storage.replace(storage.join(dest, copied[0]), b"half")
    told = exported(many, dest)

    assert 20 <= len(copied) < MANY
    assert (told.pictures, told.there) == (MANY, len(copied) - 1)
    assert (told.new, told.replaced) == (MANY - len(copied), 1)
    assert images(dest) == {f"p{n:03d}.png": image_of(many, f"p{n:03d}") for n in range(MANY)}


def test_an_interrupted_export_within_s3_continues(many: Output, s3_bucket: str) -> None:
    """The ETags of S3 show which copies exist already."""
    for entry in storage.tree(many.address):
        data = storage.read(storage.join(many.address, entry.name))
        storage.replace(f"{s3_bucket}/out/{entry.name}", data)
    with pytest.raises(Cut):
        export(Request(f"{s3_bucket}/out", f"{s3_bucket}/data"), cut_after(20))
    copied = [entry.name for entry in storage.tree(f"{s3_bucket}/data") if entry.name not in OURS]
    storage.replace(f"{s3_bucket}/data/{copied[0]}", b"half")
    told = export(Request(f"{s3_bucket}/out", f"{s3_bucket}/data"))

    assert (told.pictures, told.there) == (MANY, len(copied) - 1)


@pytest.mark.parametrize("layout", [Layout.IMAGEFOLDER, Layout.WEBDATASET])
def test_a_second_export_at_the_same_time_is_refused(output: Output, dest: str, layout: Layout) -> None:
    """The refusal names who writes there; afterwards the second export keeps the copied images and adds the new one."""
    told: list[str] = []

    def meanwhile(_done: int, _of: int) -> None:
        if not told:
            output.done("owl")
            with pytest.raises(OutputBusy) as caught:
                exported(output, dest, layout=layout)
            told.append(str(caught.value))

    first = export(Request(output.address, dest, layout), meanwhile)
    second = exported(output, dest, layout=layout)

    assert f"{dest}: another export is writing here (process {os.getpid()} on " in told[0]
    assert "export again" in told[0]
    assert "--take-over" not in told[0]
    assert (first.pictures, first.new) == (3, 3)
    assert (second.pictures, second.there, second.new) == (4, 3, 1)


def test_an_export_that_begins_as_another_one_ends_finds_its_images(
    output: Output, dest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The destination was empty when it was checked, and has the other export's images once it is held."""
    held = lease.held

    def held_after_another(address: str, **how: Any) -> Any:
        monkeypatch.setattr(lease, "held", held)
        exported(output, dest)
        return held(address, **how)

    monkeypatch.setattr(lease, "held", held_after_another)

    told = exported(output, dest)
    assert (told.pictures, told.there) == (3, 3)


def test_an_export_that_was_taken_over_does_not_write_its_state(output: Output, dest: str) -> None:
    """An export that lost its lease to another one stops, and overwrites neither the state nor the table of the
    dataset.
    """
    exported(output, dest)
    output.done("owl")
    kept: list[bytes] = []

    def slept(done: int, of: int) -> None:
        if done == of:
            found = json.loads(storage.read(storage.join(dest, EXPORT.file)))
            storage.replace(storage.join(dest, EXPORT.file), json.dumps(found | {"holder": "them"}).encode())
            kept.append(storage.read(storage.join(dest, NAME)))

    with pytest.raises(OutputBusy, match="was taken over by another export"):
        export(Request(output.address, dest), slept)

    assert storage.read(storage.join(dest, NAME)) == kept[0]
    assert len(table(dest)) == 3


def give_up_lease(dest: str) -> None:
    """Make the lease on a destination one that another export finds free, as if its holder had been suspended."""
    address = storage.join(dest, EXPORT.file)
    storage.replace(address, json.dumps(json.loads(storage.read(address)) | {"released": True}).encode())


@pytest.mark.parametrize(
    ("layout", "step"), [(Layout.IMAGEFOLDER, "up_to_date_names"), (Layout.WEBDATASET, "complete_shards")]
)
def test_an_export_that_was_taken_over_keeps_its_older_list_to_itself(
    output: Output, dest: str, monkeypatch: pytest.MonkeyPatch, layout: Layout, step: str
) -> None:
    """An export is suspended before it writes anything, and another one with one pair more takes over and ends: the
    first one then writes neither its list nor an image, and the next export finds everything there.
    """
    others: list[Exported] = []
    after: list[dict[str, bytes]] = []
    real = getattr(dataset, step)

    def suspended(*arguments: Any) -> Any:
        found = real(*arguments)
        if not others:
            others.append(Exported(0, 0))  # the other export takes this step, too
            give_up_lease(dest)
            output.done("owl")
            others.append(exported(output, dest, layout=layout))
            after.append({name: storage.read(storage.join(dest, name)) for name in storage.names(dest)})
        return found

    monkeypatch.setattr(dataset, step, suspended)
    with pytest.raises(OutputBusy, match="was taken over by another export"):
        exported(output, dest, layout=layout)

    assert others[1].new == 4
    assert {name: storage.read(storage.join(dest, name)) for name in storage.names(dest)} == after[0]
    assert exported(output, dest, layout=layout).there == 4


def test_an_export_that_was_taken_over_copies_no_further_images(many: Output, tmp_path: Path) -> None:
    """Before each round of images the export checks that the destination is still its own."""
    dest = str(tmp_path / "data")

    def suspended(done: int, _of: int) -> None:
        if done == 16:
            give_up_lease(dest)
            with lease.held(dest, by=EXPORT):
                pass

    with pytest.raises(OutputBusy, match="was taken over by another export"):
        export(Request(many.address, dest), suspended)

    assert len(images(dest)) == 16


def test_what_a_killed_export_left_half_written_is_removed(many: Output, tmp_path: Path) -> None:
    """The next export removes the temporary files that are older than a day, in all folders that exports wrote into."""
    dest, name = str(tmp_path / "data"), f".tmp-{'0a' * 16}"
    exported(many, dest, name="{style}/{content}")
    left = [tmp_path / "data" / name, tmp_path / "data" / "s7" / name]
    young, mine = tmp_path / "data" / "s8" / name, tmp_path / "data" / "mine" / name
    mine.parent.mkdir()
    for path in (*left, young, mine):
        path.write_bytes(b"half")
    for path in (*left, mine):
        os.utime(path, (time.time() - ABANDONED_SECONDS - 60,) * 2)
    told = exported(many, dest, name="{style}/{content}")

    assert told.there == MANY
    assert [path.exists() for path in (*left, young, mine)] == [False, False, True, True]


def test_a_refused_export_leaves_nothing_behind(output: Output, dest: str) -> None:
    """An export that is refused because the folder has other files leaves no lease there."""
    storage.replace(storage.join(dest, "notes.txt"), b"mine")
    with pytest.raises(OutputError, match="found files of somebody else"):
        exported(output, dest)

    assert [entry.name for entry in storage.tree(dest)] == ["notes.txt"]


def test_a_leftover_lease_does_not_make_a_folder_ours(output: Output, dest: str) -> None:
    """Files of somebody else are found even if the lease of a failed export lies next to them."""
    for name in (EXPORT.file, "images/cat.png"):
        storage.replace(storage.join(dest, name), b"{}")

    with pytest.raises(OutputError, match=r"found files of somebody else: images/cat\.png"):
        exported(output, dest)


def test_a_shard_of_another_size_counts_as_damaged(output: Output, dest: str) -> None:
    """A shard that somebody overwrote during the export is noticed by the next export."""
    exported(output, dest, layout=Layout.WEBDATASET)
    output.done("owl")

    def overwritten(_done: int, _of: int) -> None:
        storage.replace(storage.join(dest, "shard-000000.tar"), b"another shard")

    export(Request(output.address, dest, Layout.WEBDATASET), overwritten)

    assert exported(output, dest, layout=Layout.WEBDATASET).there == 1


def test_an_interrupted_export_into_shards_continues(tmp_path: Path) -> None:
    """A shard exists complete or not at all; the remaining images go into further shards, each image once."""
    dest = str(tmp_path / "data")
    large = _with_large_images(tmp_path)
    with pytest.raises(Cut):
        export(Request(large.address, dest, Layout.WEBDATASET, shard_mb=1), cut_after(20))
    cut = samples(dest)
    told = exported(large, dest, layout=Layout.WEBDATASET, shard_mb=1)
    whole = samples(dest)

    there = sum(len(members) // 2 for members in cut.values())
    assert 0 < there < 20
    assert {name: whole[name] for name in cut} == cut
    assert (told.pictures, told.there, told.new) == (30, there, 30 - there)
    keys = [name for members in whole.values() for name in members if name.endswith(".tif")]
    assert sorted(keys) == sorted({f"p{n:02d}.tif" for n in range(30)})


def test_a_shard_of_an_export_that_died_after_writing_it_is_its_own(
    output: Output, dest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard is in the export's list before it exists: the next export neither refuses it nor makes it again."""
    replace_by = storage.replace_by

    def dying(address: str, path: str) -> None:
        replace_by(address, path)
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(storage, "replace_by", dying)
        with pytest.raises(Cut):
            exported(output, dest, layout=Layout.WEBDATASET)

    assert exported(output, dest, layout=Layout.WEBDATASET).there == 3
    assert list(samples(dest)) == ["shard-000000.tar"]


def test_a_new_shard_never_overwrites_another_file(output: Output, place: str) -> None:
    """A file that has appeared under the next shard's name is named in the error, and kept."""
    dest = f"{place}/data"
    exported(output, dest, layout=Layout.WEBDATASET)
    storage.replace(f"{dest}/shard-000001.tar", b"mine")
    output.done("owl")

    with pytest.raises(OutputError, match=r"files of somebody else: shard-000001\.tar"):
        exported(output, dest, layout=Layout.WEBDATASET)

    assert storage.read(f"{dest}/shard-000001.tar") == b"mine"


def test_a_shard_ends_with_the_image_that_fills_it(tmp_path: Path) -> None:
    """A shard is closed once it reaches its size, and its bytes depend only on its images."""
    large = _with_large_images(tmp_path)
    for name in ("one", "two"):
        exported(large, str(tmp_path / name), layout=Layout.WEBDATASET, shard_mb=1)

    sizes = [path.stat().st_size for path in sorted(tmp_path.glob("one/*.tar"))]
    assert len(sizes) > 3
    assert all(1_000_000 <= size < 1_300_000 for size in sizes[:-1])
    assert files(str(tmp_path / "one")) == files(str(tmp_path / "two"))


def _with_large_images(folder: Path) -> Output:
    rows = "".join(f"p{n:02d},c.png,s{n}.png\n" for n in range(30))
    made = Output(str(folder / "large"), f"id,content,style\n{rows}", "/in/pairs.csv")
    for n in range(30):
        data = bytes([n]) * 150_000
        storage.replace(f"{folder}/large/images/p{n:02d}-01234567.tif", data)
        _record(made, f"p{n:02d}", f"images/p{n:02d}-01234567.tif", data)
    return made


def _record(made: Output, pair_id: str, image: str, data: bytes) -> None:
    made._ledger.commit(pair_record(pair_id, output=image, output_sha256=hashlib.sha256(data).hexdigest()))


def remade(output: Output, pair_id: str, **facts: Any) -> None:
    """Do a pair again with other options of the record: a new image with the same pair id."""
    for record in storage.names(storage.join(output.address, "_nst", "records")):
        if record.startswith(f"{pair_id}-"):
            storage.remove(storage.join(output.address, "_nst", "records", record))
    output.done(pair_id, size=(40, 30), output=f"images/{pair_id}-89abcdef.png", **facts)


def test_a_new_image_of_a_pair_replaces_the_old_one(output: Output, dest: str) -> None:
    """The name stays the same; the image and its row are replaced."""
    exported(output, dest)
    remade(output, "cat")
    told = exported(output, dest)

    assert (told.pictures, told.new, told.replaced, told.there) == (3, 0, 1, 2)
    assert images(dest)["cat.png"] == storage.read(f"{output.address}/images/cat-89abcdef.png")
    assert table(dest)[0]["width"] == "40"


def test_shards_are_never_changed(output: Output, place: str) -> None:
    """If the image of an exported pair has changed, an export into the same shards is refused."""
    exported(output, f"{place}/data", layout=Layout.WEBDATASET)
    remade(output, "cat")

    with pytest.raises(OutputError, match=r"has 1 image that the table no longer has so: cat\.png; shards are not"):
        exported(output, f"{place}/data", layout=Layout.WEBDATASET)


def run_again(output: Output, *, manifest: bytes | None = None, fingerprint: str = FINGERPRINT) -> None:
    """Start a later run into the output, with another manifest or with another fingerprint for every row."""
    ledger, fingerprints = Ledger(output.address), dict.fromkeys(output.run.fingerprints, fingerprint)
    run = output.run.model_copy(update={"run_id": "20260103T000000Z-000003", "fingerprints": fingerprints})
    ledger.start_run(run, manifest or ledger.manifest_of(output.run.run_id))


def run_without_cat(output: Output) -> None:
    lines = Ledger(output.address).manifest_of(output.run.run_id).splitlines(keepends=True)
    run_again(output, manifest=b"".join(line for line in lines if not line.startswith(b"cat,")))


def done_anew(output: Output, pair_id: str, ending: str = ".png") -> None:
    """Finish a pair under the other fingerprint."""
    output.done(pair_id, (40, 30), fingerprint=OTHER_FINGERPRINT, output=f"images/{pair_id}-89abcdef{ending}")


@pytest.mark.parametrize(
    ("place", "name", "delete"),
    [
        *(("local", name, delete) for name in (None, "{style}/{content}.png", BY_DEVICE) for delete in (False, True)),
        ("s3", BY_DEVICE, True),
    ],
    indirect=["place"],
)
def test_images_of_rows_that_became_pending_are_kept(
    output: Output, place: str, name: str | None, delete: bool
) -> None:
    """While other options are tried on one row, the others keep their images, checksums and rows of metadata.csv."""
    dest = f"{place}/data"
    exported(output, dest, name=name)
    before, rows = files(dest), table(dest)
    run_again(output, fingerprint=OTHER_FINGERPRINT)
    done_anew(output, "bridge")
    told = exported(output, dest, name=name, delete=delete)

    assert (told.pictures, told.replaced, told.new, told.there) == (3, 1, 0, 0)
    assert (told.earlier, told.removed) == (2, 0)
    changed = {name for name, data in files(dest).items() if data != before[name]}
    assert changed - {"metadata.csv", "SHA256SUMS"} == {rows[2]["file_name"]}
    assert [row for row in table(dest) if row["pair_id"] in ("cat", "dog")] == rows[:2]
    sums = dict(reversed(line.split("  ")) for line in files(dest)["SHA256SUMS"].decode().splitlines())
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in images(dest).items()}
    done_anew(output, "cat")
    again = exported(output, dest, name=name)
    assert (again.pictures, again.replaced, again.earlier, again.there) == (3, 1, 1, 1)


def test_an_interrupted_export_still_knows_images_of_rows_that_became_pending(output: Output, place: str) -> None:
    """The next export keeps them too, with their rows and checksums: they are no files of somebody else."""
    dest = f"{place}/data"
    exported(output, dest)
    run_again(output, fingerprint=OTHER_FINGERPRINT)
    done_anew(output, "bridge")
    with pytest.raises(Cut):
        export(Request(output.address, dest), cut_after(0))

    assert exported(output, dest).earlier == 2
    assert sorted(row["pair_id"] for row in table(dest)) == ["bridge", "cat", "dog"]


def test_an_image_replaced_by_another_format_is_removed_on_request(output: Output, dest: str) -> None:
    """A row that is done again in another format gets a new name; rows that became pending keep their images."""
    exported(output, dest)
    run_again(output, fingerprint=OTHER_FINGERPRINT)
    done_anew(output, "cat", ".jpg")
    with pytest.raises(OutputError, match=r"has 1 image that the table no longer has: cat\.png; nothing"):
        exported(output, dest)
    told = exported(output, dest, delete=True)

    assert (told.pictures, told.new, told.removed, told.earlier) == (3, 1, 1, 2)
    assert sorted(images(dest)) == ["bridge.png", "cat.jpg", "dog.png"]


def test_shards_keep_images_of_rows_that_became_pending(output: Output, place: str) -> None:
    """Images of pending rows in existing shards do not prevent new images from being exported."""
    exported(output, f"{place}/data", layout=Layout.WEBDATASET)
    before = samples(f"{place}/data")
    run_again(output, fingerprint=OTHER_FINGERPRINT)
    done_anew(output, "owl")
    told = exported(output, f"{place}/data", layout=Layout.WEBDATASET)

    assert (told.pictures, told.new, told.there, told.earlier) == (4, 1, 0, 3)
    assert samples(f"{place}/data")["shard-000000.tar"] == before["shard-000000.tar"]


def test_images_that_the_table_no_longer_has_are_removed_on_request(output: Output, place: str) -> None:
    """An image that no row would be named after is reported and nothing is written, unless it may be deleted."""
    dest = f"{place}/data"
    exported(output, dest)
    before = files(dest)
    run_without_cat(output)
    output.done("owl")
    with pytest.raises(OutputError, match=r"has 1 image that the table no longer has: cat\.png; nothing was written"):
        exported(output, dest)
    assert files(dest) == before
    told = exported(output, dest, delete=True)

    assert (told.pictures, told.new, told.removed) == (3, 1, 1)
    assert sorted(images(dest)) == ["bridge.png", "dog.png", "owl.png"]
    assert [row["pair_id"] for row in table(dest)] == ["dog", "bridge", "owl"]


def test_a_name_that_changes_only_in_case_is_removed_first(output: Output, place: str) -> None:
    """The old name is removed before the new image is written: some file systems take both for one file."""
    dest, name = f"{place}/data", BY_DEVICE
    for pair_id in ("cat", "dog"):
        remade(output, pair_id, device="GPU")
    exported(output, dest, name=name)
    remade(output, "cat", device="gpu")
    remade(output, "dog", device="cpu")
    before: list[list[str]] = []
    told = export(Request(output.address, dest, name=name, delete=True), lambda *_: before.append(list(images(dest))))

    assert before[0] == ["bridge-cpu.png", "dog-GPU.png"]
    assert list(images(dest)) == ["bridge-cpu.png", "cat-gpu.png", "dog-cpu.png"]
    assert (told.new, told.removed) == (2, 2)


def test_an_interrupted_removal_continues(output: Output, place: str) -> None:
    """An image that was to be removed is still known as the export's own, and the next export removes it."""
    dest = f"{place}/data"
    exported(output, dest)
    run_without_cat(output)
    with pytest.raises(Cut):
        export(Request(output.address, dest, delete=True), cut_after(0))

    assert "cat.png" in images(dest)
    assert exported(output, dest, delete=True).removed == 1
    assert sorted(images(dest)) == ["bridge.png", "dog.png"]


def test_the_old_image_of_a_pair_that_is_left_out_is_removed(output: Output, dest: str) -> None:
    """If the new image of a pair cannot be read, its old image, which no longer matches its row, is removed."""
    exported(output, dest)
    remade(output, "cat")

    def gone(_done: int, _of: int) -> None:
        storage.remove(f"{output.address}/images/cat-89abcdef.png")

    told = export(Request(output.address, dest), gone)

    assert [row for row, _ in told.left_out] == ["line 2 cat"]
    assert sorted(images(dest)) == ["bridge.png", "dog.png"]


def test_a_damaged_shard_is_made_again(output: Output, tmp_path: Path) -> None:
    """A shard on disk that was modified is written again, even if its size is unchanged."""
    dest = tmp_path / "data"
    exported(output, str(dest), layout=Layout.WEBDATASET)
    whole = (dest / "shard-000000.tar").read_bytes()
    (dest / "shard-000000.tar").write_bytes(whole[:-1] + b"x")
    told = exported(output, str(dest), layout=Layout.WEBDATASET)

    assert (told.new, told.there) == (3, 0)
    assert (dest / "shard-000000.tar").read_bytes() == whole


def test_removed_and_overwritten_images_are_exported_again(output: Output, dest: str) -> None:
    """An image that was removed from the dataset counts as new, and one that was overwritten is replaced."""
    exported(output, dest)
    storage.remove(storage.join(dest, "cat.png"))
    storage.replace(storage.join(dest, "dog.png"), b"drawn over")
    told = exported(output, dest)

    assert (told.new, told.replaced, told.there) == (1, 1, 1)
    assert images(dest)["dog.png"] == image_of(output, "dog")


# ---------------------------------------------------------------- refusals, and images that are left out


def test_a_damaged_image_is_left_out(output: Output, dest: str) -> None:
    """An image that does not match its record is left out and named; the others are exported."""
    (image,) = [name for name in storage.names(f"{output.address}/images") if name.startswith("cat")]
    if storage.is_s3(output.address) and storage.is_s3(dest):
        pytest.skip("within S3 the server copies, and nobody reads the bytes")
    storage.replace(f"{output.address}/images/{image}", b"other bytes")
    for layout, target in ((Layout.IMAGEFOLDER, dest), (Layout.WEBDATASET, f"{dest}-shards")):
        told = exported(output, target, layout=layout)

        assert (told.pictures, told.new) == (2, 2)
        ((row, reason),) = told.left_out
        assert row == "line 2 cat"
        assert reason.startswith(f"{output.address}/images/{image}: is not what was made; remove it")
    assert sorted(images(dest)) == ["bridge.png", "dog.png"]
    assert [row["pair_id"] for row in table(dest)] == ["dog", "bridge"]


def test_images_too_large_to_be_hashed_are_exported(output: Output, dest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of more than a gigabyte, such as a poster with 16 bits per channel, is taken for what was made."""
    monkeypatch.setattr("flows.storage.local.HASHED_BYTES", 10)
    told = exported(output, dest)

    assert (told.pictures, told.left_out) == (3, ())


def test_an_image_that_vanishes_during_the_export_is_left_out(output: Output, place: str) -> None:
    """Only the image that was removed between the listing and the copy is left out."""

    def gone(done: int, _of: int) -> None:
        if done == 0:
            for name in storage.names(f"{output.address}/images"):
                if name.startswith("dog"):
                    storage.remove(f"{output.address}/images/{name}")

    told = export(Request(output.address, f"{place}/data"), gone)

    assert [row for row, _ in told.left_out] == ["line 3 dog"]
    assert "no such" in told.left_out[0][1]
    assert sorted(images(f"{place}/data")) == ["bridge.png", "cat.png"]


@pytest.mark.parametrize("below", ["", "/data", "/images", "/.."])
def test_a_destination_is_neither_in_the_output_nor_around_it(output: Output, below: str) -> None:
    """A destination that is the output, lies in it or contains it is refused, however it is spelled."""
    if storage.is_s3(output.address) and below == "/..":
        below = ""
    with pytest.raises(OutputError, match=r"the output .* itself; export into a folder beside it"):
        exported(output, f"{output.address}{below}" if below != "/.." else os.path.dirname(output.address))


def test_a_destination_behind_a_link_into_the_output_is_refused(many: Output, tmp_path: Path) -> None:
    """The real folder of a destination counts, not its name."""
    (tmp_path / "link").symlink_to(many.address)

    with pytest.raises(OutputError, match="lies in the output"):
        exported(many, str(tmp_path / "link" / "data"))


def test_a_destination_may_start_with_the_outputs_name(output: Output) -> None:
    """`out-data` does not lie in `out`."""
    assert exported(output, f"{output.address}-data").new == 3


@pytest.mark.parametrize("name", ["notes.txt", "deep/in/it.txt", "metadata.csv", "SHA256SUMS"])
def test_files_of_somebody_else_are_left_alone(output: Output, dest: str, name: str) -> None:
    """A folder with other files is refused for a new dataset; files that are added to a dataset later are never
    overwritten.
    """
    storage.replace(storage.join(dest, name), b"mine")
    with pytest.raises(OutputError, match=f"expected an empty folder, .* files of somebody else: {name}"):
        exported(output, dest)
    assert files(dest) == {name: b"mine"}

    exported(output, f"{dest}-2")
    storage.replace(storage.join(f"{dest}-2", "README.md"), b"a card")
    storage.replace(storage.join(f"{dest}-2", "owl.png"), b"mine")
    exported(output, f"{dest}-2")
    assert files(f"{dest}-2")["README.md"] == b"a card"
    output.done("owl")
    with pytest.raises(OutputError, match=r"nothing was written over files of somebody else: owl\.png"):
        exported(output, f"{dest}-2")
    assert files(f"{dest}-2")["owl.png"] == b"mine"


@pytest.mark.parametrize("layout", [Layout.IMAGEFOLDER, Layout.WEBDATASET])
def test_a_file_that_differs_only_in_case_is_not_overwritten(output: Output, dest: str, layout: Layout) -> None:
    """Where file systems ignore case, it is the very file that the new image would overwrite."""
    exported(output, dest, layout=layout)
    name, ours = ("Shard-000001.TAR", "shard-000001.tar") if layout is Layout.WEBDATASET else ("Owl.png", "owl.png")
    storage.replace(storage.join(dest, name), b"mine")
    output.done("owl")

    with pytest.raises(OutputError, match=f"nothing was written over files of somebody else: {ours}"):
        exported(output, dest, layout=layout)
    assert files(dest)[name] == b"mine"


@pytest.mark.parametrize("name", ["cat.png", "metadata.csv", "SHA256SUMS", NAME])
def test_a_broken_link_is_not_overwritten(output: Output, tmp_path: Path, name: str) -> None:
    """Listings omit a broken link, but it belongs to somebody, and its disk may only be absent for now."""
    dest = tmp_path / "data"
    dest.mkdir()
    (dest / name).symlink_to("/away/image")

    with pytest.raises(OutputError, match=rf"files of somebody else: {name}"):
        exported(output, str(dest))
    assert (dest / name).is_symlink()
    assert [path.name for path in dest.iterdir() if path.name != EXPORT.file] == [name]


def test_a_dataset_keeps_its_layout_template_and_output(output: Output, place: str, tmp_path: Path) -> None:
    """Another layout, template or output would give images other names; the error says how the dataset was made."""
    dest = f"{place}/data"
    exported(output, dest)
    other = Output(f"{place}/other", "id,content,style\ncat,c.png,s.png\n", "/in/pairs.csv")
    other.done("cat")

    with pytest.raises(OutputError, match=r"was made with --layout imagefolder --name '\{pair_id\}'"):
        exported(output, dest, layout=Layout.TREE)
    with pytest.raises(OutputError, match="was made with"):
        exported(output, dest, name="{row}")
    with pytest.raises(OutputError, match=f"is an export of {output.address}; export"):
        exported(other, dest)


def test_a_refused_template_writes_nothing(output: Output, place: str) -> None:
    """Two rows with one name, an unknown column, or a name outside of the destination: no file is written."""
    for name, reason in (
        ("{style}", "line 2 cat and line 3 dog would both be 'waves.png'"),
        ("{artst}", "there is no column 'artst'; was 'artist' meant"),
        ("../{pair_id}", "leads out of the destination"),
    ):
        with pytest.raises(OptionsError, match=reason):
            exported(output, f"{place}/data", name=name)
    assert storage.tree(f"{place}/data") == []


def test_an_output_without_finished_pairs_is_refused(place: str) -> None:
    """The error tells an output without a run from one in which no pair is done."""
    with pytest.raises(OutputError, match="no run has been made into this output"):
        export(Request(f"{place}/none", f"{place}/data"))
    begun = Output(f"{place}/out", "id,content,style\ncat,c.png,s.png\n", "/in/pairs.csv")
    with pytest.raises(OutputError, match="expected finished pairs to export, found none; `nst status` says why"):
        exported(begun, f"{place}/data")


def test_a_destination_that_is_a_file_is_refused(many: Output, tmp_path: Path) -> None:
    """The destination must be a folder."""
    (tmp_path / "data").write_text("x")

    with pytest.raises(OutputError, match="expected a folder, found a file"):
        exported(many, str(tmp_path / "data"))


def test_a_damaged_state_file_is_named(many: Output, tmp_path: Path) -> None:
    """If the dataset's state file cannot be read, the export stops instead of guessing."""
    exported(many, str(tmp_path / "data"))
    (tmp_path / "data" / NAME).write_text("{")

    with pytest.raises(OutputError, match=f"{NAME}: expected what an export wrote down"):
        exported(many, str(tmp_path / "data"))


def test_an_error_of_the_destination_ends_the_export(many: Output, tmp_path: Path) -> None:
    """An error of the destination is not the fault of one image, so it is raised once."""
    (tmp_path / "data").mkdir()
    exported(many, str(tmp_path / "data"), name="{style}/{pair_id}")
    (tmp_path / "data" / "s7" / "p007.png").unlink()
    (tmp_path / "data" / "s7").rmdir()
    (tmp_path / "data" / "s7").write_text("somebody's")

    with pytest.raises(StorageError, match=r"s7: expected a folder, found a file; name another place"):
        exported(many, str(tmp_path / "data"), name="{style}/{pair_id}")


def test_a_record_that_names_a_file_outside_is_not_exported(tmp_path: Path) -> None:
    """Somebody may have forged a record: a file outside of the output's images is never exported."""
    rows = "id,content,style\ncat,c.png,s.png\ndog,c.png,s.png\n"
    output = Output(str(tmp_path / "own"), rows, "/in/pairs.csv")
    output.done("cat")
    output.done("dog", output="../secret.png")
    assert (tmp_path / "secret.png").exists()

    told = exported(output, str(tmp_path / "data"))

    assert told.pictures == 1
    assert [row["pair_id"] for row in table(str(tmp_path / "data"))] == ["cat"]


def test_an_image_behind_a_forbidden_link_is_left_out(many: Output, tmp_path: Path) -> None:
    """With limits, an image that is a link to a forbidden place is left out, and a forbidden
    destination is an error.
    """
    secret = tmp_path / "secret.png"
    (image,) = (tmp_path / "many" / "images").glob("p007-*")
    secret.write_bytes(image.read_bytes())
    image.unlink()
    image.symlink_to(secret)
    for layout in (Layout.IMAGEFOLDER, Layout.WEBDATASET):
        told = exported(many, str(tmp_path / layout), layout=layout, readable=(many.address,))

        assert [row for row, _ in told.left_out] == ["line 9 p007"]
        assert "leads" in told.left_out[0][1] or "link to elsewhere" in told.left_out[0][1]
    with pytest.raises(StorageError), Limits(write=(str(tmp_path / "x"),)).writing(str(tmp_path / "y")):
        exported(many, str(tmp_path / "y"))


def test_progress_is_reported(many: Output, tmp_path: Path) -> None:
    """Progress rises from none, or from the number of existing images, to all."""
    heard: list[tuple[int, int]] = []
    for layout in (Layout.IMAGEFOLDER, Layout.WEBDATASET):
        heard.clear()
        export(Request(many.address, str(tmp_path / layout), layout), lambda done, of: heard.append((done, of)))
        assert (heard[0], heard[-1]) == ((0, MANY), (MANY, MANY))
        assert heard == sorted(heard)
    export(Request(many.address, str(tmp_path / "imagefolder")), lambda done, of: heard.append((done, of)))
    assert heard[-1] == (MANY, MANY)
