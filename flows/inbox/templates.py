"""jinja2 over the files of `page/`: small pages for people who have a folder and a browser, without any script.

Whatever comes out of a manifest is escaped, letters that are not seen are written out, and the page's own policy lets
nothing run and nothing be fetched.
"""

from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def rendered(template: str, **values: Any) -> bytes:
    """A page of a template of `page/`."""
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
