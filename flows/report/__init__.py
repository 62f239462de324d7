"""A face for a run: one file that shows every pair, a page that compares runs, a contact sheet for slides.

    gather           records and manifest -> frozen values of one run
    curves           how a pair's loss fell, as its record kept it
    outliers         which losses stand apart, and by which rule
    histograms       losses of a run, counted into bins
    scatter          two numbers of every pair as points of a plane
    commands         the exact command that does something again
    thumbnails       originals and pastiches -> small pictures, a few at a time
    templates        jinja2 over the files of `page/`: styles and scripts inline, nothing from the network
    run_page         report.html of one output
    comparison       the page of two or more outputs over the same pairs
    cells            a table of pictures with words below them, as one picture
    sheet            a PNG of contents x styles
    ladder_sheet     a PNG of one pair over a grid of settings

Knows nothing of torch or prefect.
"""

from flows.report.comparison import write_comparison
from flows.report.gather import Run, gather, run_of
from flows.report.run_page import write_page, write_report
from flows.report.sheet import write_sheet

__all__ = ["Run", "gather", "run_of", "write_comparison", "write_page", "write_report", "write_sheet"]
