"""Render HTML pages without scripts, for people with a folder and a browser, by jinja2 from the files in `page/`.

Everything that comes from a manifest is escaped, invisible characters are spelt out, and the page's content security
policy lets it run no script and load no resource.
"""

from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def rendered(template: str, **values: Any) -> bytes:
    """Return the HTML of a template in `page/`, filled with values."""
    style = resources.files("flows.inbox").joinpath("page", "answer.css").read_text(encoding="utf-8")
    page = _environment().get_template(template).render(**values, style=Markup(style))  # noqa: S704  # our own file
    return page.encode(errors="replace")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("flows.inbox", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
