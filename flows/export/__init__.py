"""Exports the finished images of an output as a dataset, with file names from a template of the user.

    copying         copies or links one image, and verifies its sha256
    dataset         the export itself: `export` runs all the steps
    destination     checks that the destination is usable, and locks it
    layouts         the layouts of a dataset: imagefolder, webdataset and tree
    metadata_files  writes metadata.csv and SHA256SUMS
    names           renders the template of a name with the columns of a row
    pictures        finds the images to export: those of the succeeded rows of the latest run
    shards          packs images and their rows into tar files
    state_file      the list of files that an export keeps, so that the next export can resume
    up_to_date      finds the files that already exist at the destination and are whole

It reads only records, so that it works while a run is in progress. Imports neither torch nor prefect nor pandas.
"""

from flows.export.dataset import Exported, Request, export
from flows.export.layouts import Layout

__all__ = ["Exported", "Layout", "Request", "export"]
