"""Report on runs: one HTML file that shows every pair, a page that compares runs, and a contact sheet for slides.

    gather           loads a run's records and manifest as frozen values
    curves           reduces a pair's loss history to what a page shows
    measures         the numbers of a pair that pages show, and which of two pairs can be compared
    outliers         finds pairs whose losses are far from those of the others
    histograms       counts the losses of a run into bins
    scatter          places two numbers of every pair as points of a plane
    commands         writes the shell command that runs or retries a run again
    thumbnails       makes small images of originals and pastiches, a few at a time
    renditions       decides how large the small images of a page are, and where they are stored
    templates        renders the jinja2 templates of `page/`, with inline styles and scripts and no network requests
    run_page         writes report.html of one output
    at_end           writes report.html at the end of a run
    comparison       writes the page that compares two or more outputs over the same pairs
    cells            draws a table of labelled images as one image
    sheet            writes a PNG of contents x styles
    ladder_sheet     writes a PNG of one pair over a grid of settings

Imports neither torch nor prefect.
"""

from flows.report.comparison import write_comparison
from flows.report.gather import Run, gather, run_of
from flows.report.run_page import write_page, write_report
from flows.report.sheet import write_sheet

__all__ = ["Run", "gather", "run_of", "write_comparison", "write_page", "write_report", "write_sheet"]
