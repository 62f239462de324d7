"""The finished pictures of an output as a dataset, under names of the user's choice.

    pictures     which pictures: the succeeded rows of the latest run
    names        a template over a row's columns -> a name below the destination
    layouts      what a dataset looks like: imagefolder, webdataset or tree
    destination  where it goes: not into the output, and over nobody's files
    kept         what an export writes down of itself, so that the next one goes on
    there        which files are there already, whole
    copying      one picture from here to there
    shards       pictures with their rows in tar files
    listing      metadata.csv and SHA256SUMS
    dataset      all of these, one after the other

From records alone, so that it works while a run goes on. Knows nothing of torch, prefect or pandas.
"""

from flows.export.dataset import Exported, Request, export
from flows.export.layouts import Layout

__all__ = ["Exported", "Layout", "Request", "export"]
