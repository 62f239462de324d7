"""List the images of a folder, prefix or glob, each with its manifest cell, and the files that were skipped."""

from dataclasses import dataclass, field

from flows import storage
from flows.errors import ManifestError, NotFound, StorageError
from flows.limits import Limits, is_within
from flows.manifest.columns import CONTROL_CHARACTER
from flows.manifest.rows import MAX_CELL_CHARS
from flows.records import layout
from flows.storage.addresses import resolved_address
from flows.storage.globs import glob_of
from flows.storage.places import is_below
from nst_core.images.files.formats import endings

# The reasons for skipping a file, as they are shown to the user.
NO_PICTURE = "not an image by its name"
HIDDEN = "hidden"
OF_A_RUN = "in the output of a run"
_WRITTEN_BY_RUNS = layout.FOLDERS, (layout.SHEET, layout.LADDER_SHEET)
"""Folders and images that runs write into an output."""


@dataclass(frozen=True, slots=True)
class ListedImage:
    """An image that was found.

    Attributes:
        path: its path relative to the start of the search.
        cell: the manifest cell that names it.
    """

    path: str
    cell: str


@dataclass(frozen=True)
class Listing:
    """The images of a place.

    Attributes:
        pictures: the images, sorted by path.
        left_out: the paths of the skipped files, by the reason for skipping them.
    """

    pictures: list[ListedImage]
    left_out: dict[str, list[str]] = field(default_factory=dict)


def pictures_of(place: str, base: str | None, limits: Limits) -> Listing:
    """List all images below a folder or an `s3://` prefix, those that match a glob, or the single image of an address.

    Args:
        place: an absolute address, or a glob with `*`, `?`, `[` or `**` in it.
        base: the folder of the manifest, to which cells are relative; None makes all cells absolute addresses.
        limits: the operator's limits; files that may not be read, or are too large, are skipped.

    Raises:
        ManifestError: no image was found.
        NotAllowed: the limits do not allow reading the place.
        StorageError: the place cannot be listed.
    """
    root, entries, outputs = _entries(place, limits)
    pictures: list[ListedImage] = []
    left_out: dict[str, list[str]] = {}
    known = endings()
    for entry in entries:
        address = storage.join(root, entry.name)
        reason = _reason_by_name(entry.name, known) or _reason_by_outputs(entry.name, outputs)
        reason = reason or _reason_by_limits(address, entry.size, limits)
        cell = "" if reason else _cell_of(address, base)
        if reason or not cell:
            left_out.setdefault(reason or _reason_by_address(address), []).append(entry.name)
        else:
            pictures.append(ListedImage(entry.name, cell))
    if not pictures:
        there = f"; {sum(map(len, left_out.values())):,} other files are there" if left_out else ""
        raise ManifestError(f"{place}: expected images ({' '.join(sorted(known))}), found none{there}")
    return Listing(pictures, left_out)


def _entries(place: str, limits: Limits) -> tuple[str, list[storage.Entry], frozenset[str]]:
    """Return where the search starts, the files that were found, and the outputs of runs among the folders below it.

    A folder may have a name that looks like a glob. A place that is given by name, such as the `images` folder of an
    output, is not treated as part of that output.
    """
    glob = glob_of(place)
    limits.check_readable(glob.folder if glob else place)
    if found := storage.tree(place):
        return place, found, _outputs_among(found)
    if glob and not glob.instead:
        found = storage.tree(glob.folder)
        if fitting := [entry for entry in found if glob.fits(entry.name)]:
            return glob.folder, fitting, _outputs_among(found)
    try:
        size = storage.size(place)  # what looks like a glob may be the name of a file
    except StorageError as error:
        if glob and glob.instead:
            raise ManifestError(
                f"{place}: expected '**' as a whole part of a path, found it beside letters; write {glob.instead}"
            ) from error
        if glob:
            return glob.folder, [], frozenset()
        if not isinstance(error, NotFound):
            raise
        raise ManifestError(
            f"{place}: expected a folder, an s3:// prefix, a glob or an image, found nothing of that name"
        ) from error
    return storage.parent_of(place), [storage.Entry(storage.name_of(place), "", size, 0.0)], frozenset()


def _outputs_among(entries: list[storage.Entry]) -> frozenset[str]:
    """Return the outputs of runs, relative to the start of the search, which is itself the empty string."""
    marked = (entry.name.removesuffix(layout.LATEST_RUN) for entry in entries if entry.name.endswith(layout.LATEST_RUN))
    return frozenset(folder.removesuffix("/") for folder in marked if not folder or folder.endswith("/"))


def _reason_by_outputs(path: str, outputs: frozenset[str]) -> str | None:
    parts = path.split("/") if outputs else []
    folders, pictures = _WRITTEN_BY_RUNS
    for depth, part in enumerate(parts):
        is_own = part in (pictures if depth + 1 == len(parts) else folders)
        if is_own and "/".join(parts[:depth]) in outputs:
            return OF_A_RUN
    return None


def _reason_by_name(path: str, known: frozenset[str]) -> str | None:
    if any(part.startswith(".") for part in path.split("/")):
        return HIDDEN
    name = path.rpartition("/")[2]
    return None if f".{name.rpartition('.')[2].lower()}" in known and "." in name else NO_PICTURE


def _reason_by_limits(address: str, size: int, limits: Limits) -> str | None:
    if limits.max_image_bytes is not None and size > limits.max_image_bytes:
        return f"of more than {limits.max_image_bytes:,} bytes, which is the most here"
    if limits.readable is not None and not is_within(address, limits.readable):
        return "a link to where nothing may be read here"
    return None


def _reason_by_address(address: str) -> str:
    """Return why no manifest cell can name a file."""
    if CONTROL_CHARACTER.search(address):
        return "with a control character in its name, which no manifest can hold; rename it"
    try:
        resolved_address(address, "/")
    except ValueError as error:
        return f"of a name that no manifest can hold: {error}"
    return "of a name that no manifest can hold: it is too long, or ends with a blank"


def _cell_of(address: str, base: str | None) -> str:
    """Return the manifest cell of an address, relative to `base` if it is below; empty if no cell can name it."""
    cells = [address]
    if base is not None and is_below(address, (base,)):
        relative = address[len(storage.join(base, "")) :]
        # './' is for names that start like a URL scheme, or with a blank or '~'.
        cells = [relative, f"./{relative}", address]
    return next((cell for cell in cells if _resolves_to(cell, address, base or "/")), "")


def _resolves_to(cell: str, address: str, base: str) -> bool:
    if len(cell) > MAX_CELL_CHARS or CONTROL_CHARACTER.search(cell):
        return False
    try:
        return resolved_address(cell.strip(" "), base) == address
    except ValueError:
        return False
