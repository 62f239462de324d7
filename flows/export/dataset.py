"""The export of an output: chooses names, compares them with what exists at the destination, and copies the rest.

An interrupted export can be resumed. Everything that can be refused is refused before anything is written.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flows import storage
from flows.errors import OutputError
from flows.export.copying import Copier
from flows.export.destination import METADATA, SUMS, Destination, open_destination, some_files
from flows.export.layouts import LAYOUT_SPECS, Layout
from flows.export.metadata_files import metadata_csv, read_metadata, sha256sums
from flows.export.names import folded, names_of, parse_template, stem, stems_of
from flows.export.pictures import Picture, pictures_of
from flows.export.shards import new_shard, read_pictures, shard_names
from flows.export.state_file import ExportedFile, ExportState, write_state
from flows.export.up_to_date import complete_shards, up_to_date_names
from flows.wording import counted

AT_ONCE = 64
"""How many images are copied between two checks that the destination is still held and the user does not want to
stop."""
SHARD_MB = 500
"""Default size of a shard. One process reads a shard from start to end: it is large enough to be read efficiently from
remote storage, and small enough that there are shards for many processes."""

Tell = Callable[[int, int], None]
"""Progress callback, called with (images done, images in all)."""


@dataclass(frozen=True)
class Request:
    """What to export, and how.

    Attributes:
        output: local folder or `s3://` prefix of the output.
        destination: local folder or `s3://` prefix of the dataset.
        layout: layout of the dataset.
        name: template of the images' names; None: the layout's default.
        linked: whether local images are hard-linked instead of copied.
        shard_mb: size in megabytes from which a new shard is started.
        delete: whether images of an earlier export that are no longer in the table are removed.
        readable: the folders from which images may be read; None: any.
    """

    output: str
    destination: str
    layout: Layout = Layout.IMAGEFOLDER
    name: str | None = None
    linked: bool = False
    shard_mb: int = SHARD_MB
    delete: bool = False
    readable: storage.Places | None = None


@dataclass(frozen=True)
class Exported:
    """The result of an export.

    Attributes:
        pictures: the number of images in the dataset now.
        new: how many of them were added.
        replaced: how many of them replaced another image of the same name.
        removed: how many images of an earlier export were removed.
        earlier: how many images of an earlier export were kept, because their rows have no image now.
        left_out: (row, reason) of each image that could not be exported.
    """

    pictures: int
    new: int
    replaced: int = 0
    removed: int = 0
    earlier: int = 0
    left_out: tuple[tuple[str, str], ...] = field(default=())

    @property
    def there(self) -> int:
        """How many images existed already and were up to date."""
        return self.pictures - self.new - self.replaced - self.earlier


@dataclass(frozen=True)
class _Wanted:
    """What the dataset should contain.

    Attributes:
        pictures: name -> image.
        unfinished: the names that the images of unfinished rows would have, as `stem` gives them.
        unfinished_ids: the pair ids of the unfinished rows.
        columns: the columns of all rows.
    """

    pictures: dict[str, Picture]
    unfinished: frozenset[str]
    unfinished_ids: frozenset[str]
    columns: tuple[str, ...]


def export(request: Request, tell: Tell = lambda _done, _of: None) -> Exported:
    """Export the finished images of an output's latest run.

    Args:
        request: what to export, and how.
        tell: progress callback; by default progress is not reported.

    Raises:
        OptionsError: if the template cannot be used, or gives two images the same name.
        OutputError: if no pair is finished, or the destination is not suitable.
        OutputBusy: if another export is writing to the destination.
        StorageError: if a file cannot be read or written; calling again with the same request resumes the export.
    """
    layout = LAYOUT_SPECS[request.layout]
    is_one_disk = storage.is_local(request.output) and storage.is_local(request.destination)
    if request.linked and (layout.in_shards or not is_one_disk):
        raise OutputError("--link: expected an output and a destination on one disk, and no shards; leave it out")
    source = pictures_of(request.output)
    template = parse_template(request.name or layout.name, source.columns)
    wanted = _Wanted(
        pictures=names_of(source.pictures, template, layout),
        unfinished=stems_of(source.unfinished, template, layout),
        unfinished_ids=frozenset(row.row["pair_id"] for row in source.unfinished if row.row["pair_id"]),
        columns=source.columns,
    )
    state = ExportState(output=request.output, layout=request.layout, name=template.text)
    write = _write_shards if layout.in_shards else _write_files
    with open_destination(request.destination, state) as destination:
        return write(request, destination, wanted, _while_held(destination, tell))


def _while_held(destination: Destination, tell: Tell) -> Tell:
    """Return a progress callback that also stops the export once the lease on the destination is lost."""

    def tell_if_held(done: int, of: int) -> None:
        if destination.hold.is_lost:
            destination.hold.check()
        tell(done, of)

    return tell_if_held


def _write_files(request: Request, destination: Destination, wanted: _Wanted, tell: Tell) -> Exported:
    """Export the images as single files, with metadata.csv."""
    address, pictures, before = destination.address, wanted.pictures, destination.state.files
    others = [name for name in before if name in destination.existing and name not in pictures]
    rows = read_metadata(storage.join(address, METADATA)) if others else {}
    earlier = _of_unfinished_rows(others, rows, wanted)
    obsolete = [name for name in others if name not in earlier]
    if obsolete and not request.delete:
        raise OutputError(
            f"{address}: has {counted(len(obsolete), 'image')} that the table no longer has: {some_files(obsolete)}; "
            "nothing was written. Have them removed with --delete, or export into another folder"
        )
    destination.check_free(pictures)
    up_to_date = up_to_date_names(destination, pictures)
    # From here on these names belong to the export; obsolete ones do, too, until they are removed.
    files = {name: ExportedFile(sha256=picture.sha256) for name, picture in pictures.items()}
    files |= {name: before[name] for name in (*up_to_date, *obsolete, *earlier) if name in before}
    _save_state(destination, files)
    # On a file system that ignores case, a new file may have the name of an obsolete one: remove that before copying.
    new_folded = {folded(name) for name in pictures} if obsolete else set()
    colliding = {name for name in obsolete if folded(name) in new_folded}
    storage.each(storage.remove, [storage.join(address, name) for name in sorted(colliding)])
    todo = {name: picture for name, picture in pictures.items() if name not in up_to_date}
    copier = Copier(address, request.linked, request.readable)
    left_out = _copy(todo, copier, len(up_to_date), tell, destination.hold.check)
    destination.hold.check()
    to_remove = [name for name in obsolete if name not in colliding]
    to_remove += [name for name in left_out if name in destination.existing]
    storage.each(storage.remove, [storage.join(address, name) for name in to_remove])
    exported = {name: picture for name, picture in pictures.items() if name not in left_out}
    rows_of_earlier = {name: rows.get(name, {}) for name in sorted(earlier)}
    storage.replace(storage.join(address, METADATA), metadata_csv(exported, wanted.columns, rows_of_earlier))
    written = {name: ExportedFile(sha256=picture.sha256) for name, picture in exported.items()}
    _finish(destination, written, {name: before[name] for name in earlier})
    replaced = sum(name in destination.existing for name in todo.keys() - left_out.keys())
    return Exported(
        pictures=len(exported) + len(earlier),
        new=len(todo) - len(left_out) - replaced,
        replaced=replaced,
        removed=len(obsolete),
        earlier=len(earlier),
        left_out=_labelled(left_out, pictures),
    )


def _of_unfinished_rows(names: Iterable[str], rows: Mapping[str, Mapping[str, str]], wanted: _Wanted) -> frozenset[str]:
    """Return those names of an earlier export whose rows have no image now.

    Args:
        names: the names of the earlier export that this one does not write.
        rows: name -> row of the earlier metadata.csv: a name is also recognised by the pair id that it had then.
        wanted: what the dataset should contain.
    """
    new_folded = {folded(name) for name in wanted.pictures}
    return frozenset(
        name
        for name in names
        if folded(name) not in new_folded
        and (stem(name) in wanted.unfinished or rows.get(name, {}).get("pair_id") in wanted.unfinished_ids)
    )


def _copy(
    todo: dict[str, Picture], copier: Copier, done_before: int, tell: Tell, check_hold: Callable[[], None]
) -> dict[str, str]:
    """Copy images.

    Args:
        todo: name -> image.
        copier: copies one of them.
        done_before: how many images were up to date.
        tell: progress callback.
        check_hold: raises an error if another export has taken over the destination, whose images must stay.

    Returns:
        Name -> reason for each image that is left out.
    """
    left_out: dict[str, str] = {}
    items = list(todo.items())
    tell(done_before, done_before + len(items))
    for start in range(0, len(items), AT_ONCE):
        check_hold()
        part = items[start : start + AT_ONCE]
        reasons = storage.each(lambda item: copier.copy(*item), part)
        left_out |= {name: reason for (name, _), reason in zip(part, reasons, strict=True) if reason}
        tell(done_before + start + len(part), done_before + len(items))
    return left_out


def _write_shards(request: Request, destination: Destination, wanted: _Wanted, tell: Tell) -> Exported:
    """Export the images that are in no shard yet, in new shards."""
    pictures = wanted.pictures
    files = complete_shards(destination)
    packed = {name: sha256 for file in files.values() for name, sha256 in file.samples.items()}
    earlier = _of_unfinished_rows((name for name in packed if name not in pictures), {}, wanted)
    current = {name: sha256 for name, sha256 in packed.items() if name not in earlier}
    obsolete = [name for name, sha256 in current.items() if name not in pictures or pictures[name].sha256 != sha256]
    if obsolete:
        raise OutputError(
            f"{destination.address}: has {counted(len(obsolete), 'image')} that the table no longer has so: "
            f"{some_files(obsolete)}; shards are not changed: export into another folder"
        )
    todo = [(name, picture) for name, picture in pictures.items() if name not in packed]
    left_out: dict[str, str] = {}
    new = _readable_pictures(todo, request.readable, left_out, lambda done: tell(len(current) + done, len(pictures)))
    names = shard_names(files)
    for first in new:  # `new` is one iterator: each shard takes its images from it until the shard is full
        with new_shard() as shard:
            for name, picture, data in itertools.chain([first], new):
                shard.add(name, picture, data, wanted.columns)
                if shard.size >= request.shard_mb * 1_000_000:
                    break
            target = next(names)
            destination.hold.check()  # a shard of an export that has taken over is not one of somebody else
            destination.check_free([target])
            files[target] = shard.close()
            _save_state(destination, files)
            storage.replace_by(storage.join(destination.address, target), shard.file.name)
    _finish(destination, files)
    return Exported(
        pictures=len(pictures) - len(left_out) + len(earlier),
        new=len(todo) - len(left_out),
        earlier=len(earlier),
        left_out=_labelled(left_out, pictures),
    )


def _readable_pictures(
    todo: Sequence[tuple[str, Picture]],
    readable: storage.Places | None,
    left_out: dict[str, str],
    tell: Callable[[int], None],
) -> Iterator[tuple[str, Picture, bytes]]:
    """Yield each image that can be read, with its bytes; the others are added to `left_out`, with the reasons."""
    tell(0)
    for done, (name, picture, data) in enumerate(read_pictures(todo, readable), start=1):
        tell(done)
        if isinstance(data, str):
            left_out[name] = data
        else:
            yield name, picture, data


def _save_state(destination: Destination, files: dict[str, ExportedFile]) -> None:
    """Save the list of the export's files, unless another export, which has one of its own, has taken over.

    Raises:
        OutputBusy: if it has: its files would be in no list, and every later export would refuse to overwrite them.
    """
    destination.hold.check()
    write_state(destination.address, destination.state.model_copy(update={"files": files}))


def _finish(
    destination: Destination, files: dict[str, ExportedFile], untouched: Mapping[str, ExportedFile] | None = None
) -> None:
    """Write SHA256SUMS, and save the state with the versions that the files have now that they are whole.

    Args:
        destination: the destination of the export.
        files: name -> file of this export.
        untouched: name -> file of an earlier export, whose saved version stays as it is.
    """
    destination.hold.check()
    untouched = untouched or {}
    checksums = [(name, file.sha256) for name, file in (*files.items(), *untouched.items())]
    storage.replace(storage.join(destination.address, SUMS), sha256sums(checksums))
    existing = {entry.name: entry for entry in storage.tree(destination.address)}
    versioned = {name: _with_version(file, existing.get(name)) for name, file in files.items()}
    _save_state(destination, versioned | dict(untouched))


def _with_version(file: ExportedFile, entry: storage.Entry | None) -> ExportedFile:
    """Return a file with its listed version; a shard gets none unless it has the size that was written."""
    version = entry.version if entry is not None and file.size in (0, entry.size) else ""
    return file.model_copy(update={"version": version})


def _labelled(left_out: dict[str, str], pictures: dict[str, Picture]) -> tuple[tuple[str, str], ...]:
    """Return the left-out images with the labels of their rows in place of their names."""
    return tuple((pictures[name].label, reason) for name, reason in left_out.items())
