"""What a dataset looks like: how its pictures are called by default, and whether they lie in folders or in shards."""

from dataclasses import dataclass
from enum import StrEnum


class Layout(StrEnum):
    """The layouts, as the command names them."""

    IMAGEFOLDER = "imagefolder"
    WEBDATASET = "webdataset"
    TREE = "tree"


@dataclass(frozen=True)
class Look:
    """One layout.

    Attributes:
        name: the template of a picture's name where the user gives none.
        in_folders: whether the contents' folders come before the names.
        in_shards: whether pictures lie in tar files, each with its row beside it.
    """

    name: str = "{pair_id}"
    in_folders: bool = False
    in_shards: bool = False


LOOKS = {
    Layout.IMAGEFOLDER: Look(),
    Layout.WEBDATASET: Look(in_shards=True),
    Layout.TREE: Look(in_folders=True),
}
