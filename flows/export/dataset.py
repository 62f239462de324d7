"""An export: pictures and names first, then what is there already, and then the rest, so that a cut one goes on.

Everything that can be refused is refused before anything is written.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flows import storage
from flows.errors import OutputError
from flows.export.copying import Way
from flows.export.destination import METADATA, SUMS, Destination, destination, some_files
from flows.export.layouts import LOOKS, Layout
from flows.export.listing import metadata, rows_before, sums
from flows.export.names import folded, names_of, stem, stems_of, template
from flows.export.pictures import Picture, pictures_of
from flows.export.shards import new_shard, read_pictures, shard_names
from flows.export.state_file import Kept, KeptFile, write_kept
from flows.export.up_to_date import names_there, shards_there

AT_ONCE = 64
"""Pictures between two looks at whether the user wants to stop."""
SHARD_MB = 500
"""A shard is read from its start to its end, by one process: large enough for a disk far away, many enough to share."""

Tell = Callable[[int, int], None]
"""Hears (pictures done, of how many) as it goes on."""


@dataclass(frozen=True)
class Request:
    """What to export, and how.

    Attributes:
        output: local folder or `s3://` prefix of a run.
        destination: local folder or `s3://` prefix.
        layout: of the dataset.
        name: template of the pictures' names; None: the layout's own.
        linked: whether pictures on this disk get a second name instead of a copy.
        shard_mb: megabytes from which the next shard is begun.
        delete: whether pictures are removed that an earlier export made and the table no longer has.
        readable: where the output may lie; None: anywhere.
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
    """What came of an export.

    Attributes:
        pictures: that the dataset has now.
        new, replaced, removed: of them, and of those before.
        earlier: of them, left as they were, as their rows have no picture now.
        left_out: (row, why) of pictures that could not be had.
    """

    pictures: int
    new: int
    replaced: int = 0
    removed: int = 0
    earlier: int = 0
    left_out: tuple[tuple[str, str], ...] = field(default=())

    @property
    def there(self) -> int:
        """Pictures that were there already, and are those of their rows."""
        return self.pictures - self.new - self.replaced - self.earlier


@dataclass(frozen=True)
class _Wanted:
    """What a dataset is to have.

    Attributes:
        pictures: by name.
        unfinished: what the pictures of rows that have none now would be called, as `stem` has it.
        unfinished_ids: of these rows.
        columns: that every row has.
    """

    pictures: dict[str, Picture]
    unfinished: frozenset[str]
    unfinished_ids: frozenset[str]
    columns: tuple[str, ...]


def export(request: Request, tell: Tell = lambda _done, _of: None) -> Exported:
    """Export the finished pictures of an output's latest run.

    Raises:
        OptionsError: the template cannot be used, or gives two pictures one name.
        OutputError: nothing is finished, or the destination cannot be used as asked.
        OutputBusy: another export is writing there.
        StorageError: something cannot be read or written; the same call goes on.
    """
    look = LOOKS[request.layout]
    if request.linked and (look.in_shards or storage.is_s3(request.output) or storage.is_s3(request.destination)):
        raise OutputError("--link: expected an output and a destination on one disk, and no shards; leave it out")
    found = pictures_of(request.output)
    by = template(request.name or look.name, found.columns)
    has_dots = not look.in_shards
    wanted = _Wanted(
        pictures=names_of(found.pictures, by, in_folders=look.in_folders, has_dots=has_dots),
        unfinished=stems_of(found.unfinished, by, in_folders=look.in_folders, has_dots=has_dots),
        unfinished_ids=frozenset(one.row["pair_id"] for one in found.unfinished if one.row["pair_id"]),
        columns=found.columns,
    )
    plan = Kept(output=request.output, layout=request.layout, name=by.text)
    write = _in_shards if look.in_shards else _in_folders
    with destination(request.destination, plan) as place:
        return write(request, place, wanted, _while_held(place, tell))


def _while_held(place: Destination, tell: Tell) -> Tell:
    def told(done: int, of: int) -> None:
        if place.hold.is_lost:
            place.hold.check()
        tell(done, of)

    return told


def _in_folders(request: Request, place: Destination, asked: _Wanted, tell: Tell) -> Exported:
    wanted = asked.pictures
    rest = [name for name in place.kept.files if name in place.found and name not in wanted]
    rows = rows_before(storage.join(place.address, METADATA)) if rest else {}
    earlier = _of_unfinished(rest, rows, asked)
    gone = [name for name in rest if name not in earlier]
    if gone and not request.delete:
        raise OutputError(
            f"{place.address}: has {len(gone):,} pictures that the table no longer has: {some_files(gone)}; nothing "
            "was written. Have them removed with --delete, or export into another folder"
        )
    place.check_free(wanted)
    there = names_there(place, wanted)
    before = place.kept.files
    # From here on these names are ours; those that are to go are, too, until they are gone.
    files = {name: KeptFile(sha256=picture.sha256) for name, picture in wanted.items()}
    files |= {name: before[name] for name in (*there, *gone, *earlier) if name in before}
    _keep(place, files)
    # Where file systems know no case, these are the very files that are about to be written.
    again = {folded(name) for name in wanted} if gone else set()
    alike = {name for name in gone if folded(name) in again}
    storage.each(storage.remove, [storage.join(place.address, name) for name in sorted(alike)])
    todo = {name: picture for name, picture in wanted.items() if name not in there}
    left_out = _copied(todo, Way(place.address, request.linked, request.readable), len(there), tell)
    place.hold.check()
    outdated = [*(name for name in gone if name not in alike), *(name for name in left_out if name in place.found)]
    storage.each(storage.remove, [storage.join(place.address, name) for name in outdated])
    made = {name: picture for name, picture in wanted.items() if name not in left_out}
    rows_of_earlier = {name: rows.get(name, {}) for name in sorted(earlier)}
    storage.replace(storage.join(place.address, METADATA), metadata(made, asked.columns, rows_of_earlier))
    written = {name: KeptFile(sha256=picture.sha256) for name, picture in made.items()}
    _finish(place, written, {name: before[name] for name in earlier})
    replaced = sum(name in place.found for name in todo.keys() - left_out.keys())
    new = len(todo) - len(left_out) - replaced
    return Exported(len(made) + len(earlier), new, replaced, len(gone), len(earlier), _told(left_out, wanted))


def _of_unfinished(names: Iterable[str], rows: Mapping[str, Mapping[str, str]], asked: _Wanted) -> frozenset[str]:
    """Those of an earlier export's names that are of rows which have no picture now, by name or by the id they had."""
    again = {folded(name) for name in asked.pictures}
    return frozenset(
        name
        for name in names
        if folded(name) not in again
        and (stem(name) in asked.unfinished or rows.get(name, {}).get("pair_id") in asked.unfinished_ids)
    )


def _copied(todo: dict[str, Picture], way: Way, before: int, tell: Tell) -> dict[str, str]:
    """Copy pictures; the names of those that are left out, with the reasons."""
    left_out: dict[str, str] = {}
    items = list(todo.items())
    tell(before, before + len(items))
    for start in range(0, len(items), AT_ONCE):
        part = items[start : start + AT_ONCE]
        reasons = storage.each(lambda one: way.take(*one), part)
        left_out |= {name: reason for (name, _), reason in zip(part, reasons, strict=True) if reason}
        tell(before + start + len(part), before + len(items))
    return left_out


def _in_shards(request: Request, place: Destination, asked: _Wanted, tell: Tell) -> Exported:
    wanted = asked.pictures
    files = shards_there(place)
    there = {name: sha256 for file in files.values() for name, sha256 in file.samples.items()}
    earlier = _of_unfinished((name for name in there if name not in wanted), {}, asked)
    now = {name: sha256 for name, sha256 in there.items() if name not in earlier}
    other = [name for name, sha256 in now.items() if name not in wanted or wanted[name].sha256 != sha256]
    if other:
        raise OutputError(
            f"{place.address}: has {len(other):,} pictures that the table no longer has so: {some_files(other)}; "
            "shards are not changed: export into another folder"
        )
    todo = [(name, picture) for name, picture in wanted.items() if name not in there]
    left_out: dict[str, str] = {}
    new = _pictures_read(todo, request.readable, left_out, lambda done: tell(len(now) + done, len(wanted)))
    names = shard_names(files)
    for first in new:  # each time round, of those that are left
        with new_shard() as shard:
            for name, picture, data in itertools.chain([first], new):
                shard.add(name, picture, data, asked.columns)
                if shard.size >= request.shard_mb * 1_000_000:
                    break
            target = next(names)
            place.check_free([target])
            files[target] = shard.close()
            _keep(place, files)
            storage.replace_by(storage.join(place.address, target), shard.file.name)
    _finish(place, files)
    pictures = len(wanted) - len(left_out) + len(earlier)
    return Exported(pictures, len(todo) - len(left_out), earlier=len(earlier), left_out=_told(left_out, wanted))


def _pictures_read(
    todo: Sequence[tuple[str, Picture]],
    readable: storage.Places | None,
    left_out: dict[str, str],
    tell: Callable[[int], None],
) -> Iterator[tuple[str, Picture, bytes]]:
    """The pictures that can be had, with their bytes; the others are put into `left_out`, with the reasons."""
    tell(0)
    for done, (name, picture, data) in enumerate(read_pictures(todo, readable), start=1):
        tell(done)
        if isinstance(data, str):
            left_out[name] = data
        else:
            yield name, picture, data


def _keep(place: Destination, files: dict[str, KeptFile]) -> None:
    write_kept(place.address, place.kept.model_copy(update={"files": files}))


def _finish(place: Destination, files: dict[str, KeptFile], untouched: Mapping[str, KeptFile] | None = None) -> None:
    """Write the checksums down, and how every file looks now that it is whole; of those untouched, as it looked."""
    place.hold.check()
    untouched = untouched or {}
    listed = [(name, file.sha256) for name, file in (*files.items(), *untouched.items())]
    storage.replace(storage.join(place.address, SUMS), sums(listed))
    found = {entry.name: entry for entry in storage.tree(place.address)}
    _keep(place, {name: _as_it_is(file, found.get(name)) for name, file in files.items()} | dict(untouched))


def _as_it_is(file: KeptFile, found: storage.Entry | None) -> KeptFile:
    """With the version that the file has; of a shard only where it is as long as the one that was written."""
    version = found.version if found is not None and file.size in (0, found.size) else ""
    return file.model_copy(update={"version": version})


def _told(left_out: dict[str, str], wanted: dict[str, Picture]) -> tuple[tuple[str, str], ...]:
    return tuple((wanted[name].said, reason) for name, reason in left_out.items())
