"""Pages from templates: self-contained HTML with the style of all reports, light and dark, no scripts."""

from __future__ import annotations

from importlib import resources
from typing import Any

from vswitch import __version__
from vswitch.charts import STYLE, patterns


def render(package: str, template: str, **values: Any) -> str:
    """Return a page.

    Parameters
    ----------
    package : str
        Whose folder ``templates`` has the template.
    template : str
        Its name.
    **values : Any
        What it asks for; text is escaped, :class:`markupsafe.Markup` is not.

    Returns
    -------
    str
        One HTML document that asks for nothing else.
    """
    from jinja2 import Environment
    from markupsafe import Markup

    text = resources.files(package).joinpath("templates", template).read_text("utf-8")
    style = resources.files("vswitch").joinpath("templates", "page.css").read_text("utf-8")
    return (
        Environment(autoescape=True, trim_blocks=True)
        .from_string(text)
        .render(
            version=f"vswitch {__version__}",
            page_style=Markup(style),
            chart_style=Markup(STYLE),
            patterns=Markup(patterns()),
            **values,
        )
    )
