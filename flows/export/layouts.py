"""The layouts of a dataset: the default names of its images, and whether it has folders or tar shards."""

from dataclasses import dataclass
from enum import StrEnum


class Layout(StrEnum):
    """The layouts, with the names that the command line uses."""

    IMAGEFOLDER = "imagefolder"
    WEBDATASET = "webdataset"
    TREE = "tree"


@dataclass(frozen=True)
class LayoutSpec:
    """The properties of a layout.

    Attributes:
        name: the default template of an image's name.
        in_folders: whether names start with the folder of the content image.
        in_shards: whether images are packed into tar files, each next to a file with its row.
    """

    name: str = "{pair_id}"
    in_folders: bool = False
    in_shards: bool = False


LAYOUT_SPECS = {
    Layout.IMAGEFOLDER: LayoutSpec(),
    Layout.WEBDATASET: LayoutSpec(in_shards=True),
    Layout.TREE: LayoutSpec(in_folders=True),
}
