"""Render the jinja2 templates of `page/` as one HTML file with inline styles and scripts and no network requests.

Manifest cells are untrusted text. They reach a page as escaped HTML, or as JSON that cannot close its script element,
and scripts insert them as text nodes. Should one of these defences fail, the page's Content Security Policy still runs
no script but our own.
"""

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def rendered(template: str, scripts: tuple[str, ...], **values: Any) -> bytes:
    """Render a template with the styles and the given scripts of `page/`, which are joined in the given order."""
    script = "\n".join(map(_text, scripts))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = (
        _environment()
        .get_template(template)
        .render(
            **values,
            style=Markup(_text("page.css")),  # noqa: S704  # our own file, not user input
            script=Markup(script),  # noqa: S704  # as above
            policy=(
                "default-src 'none'; base-uri 'none'; form-action 'none'; img-src 'self' file: data:; "
                f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
            ),
        )
    )
    # A file name can contain a lone surrogate, which cannot be encoded as UTF-8.
    return page.encode(errors="replace")


def number(value: float | None) -> str:
    """Format a number with four significant digits, as the scripts of the page do.

    >>> number(0.000123456), number(1234567.0), number(None)
    ('0.0001235', '1.235e+06', '')
    """
    return "" if value is None else f"{value:.4g}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("flows.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters["number"] = number
    return environment


def _text(name: str) -> str:
    return resources.files("flows.report").joinpath("page", name).read_text(encoding="utf-8")
