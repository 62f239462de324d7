"""jinja2 over the files of `page/`: one HTML file, styles and scripts inside, that asks the network for nothing.

Manifest cells are anybody's text. They reach a page as escaped HTML or as JSON that no `</script>` can end, and scripts
put them there as text; should one of these fail, the page's own policy lets no script run but the ones made here.
"""

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def rendered(template: str, scripts: tuple[str, ...], **values: Any) -> bytes:
    """A page of a template, the styles, and some scripts of `page/`, joined in this order."""
    script = "\n".join(map(_text, scripts))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = (
        _environment()
        .get_template(template)
        .render(
            **values,
            style=Markup(_text("page.css")),  # noqa: S704  # our own file
            script=Markup(script),  # noqa: S704  # as above
            policy=(
                "default-src 'none'; base-uri 'none'; form-action 'none'; img-src 'self' file: data:; "
                f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
            ),
        )
    )
    # A lone surrogate, which a file name can bring, has no UTF-8.
    return page.encode(errors="replace")


def number(value: float | None) -> str:
    """Four significant digits, as scripts of the page write it too.

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
