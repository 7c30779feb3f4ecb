"""A small SVG writer: shapes, text, groups; numbers rounded, so that equal input gives equal bytes.

A drawing with a style sheet is a file of its own; one without stands in a page that
styles it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from xml.sax.saxutils import escape, quoteattr


def number(value: float) -> str:
    """Return a coordinate as it is written.

    Parameters
    ----------
    value : float
        In pixels.

    Returns
    -------
    str
        With one decimal at most.
    """
    text = f"{value:.1f}"
    text = text.removesuffix(".0")
    return "0" if text == "-0" else text


class Drawing:
    """An SVG file in the making.

    Parameters
    ----------
    width : float
        In pixels.
    style : str
        CSS; empty for a drawing in a page.
    title : str
        For programs that read it aloud.
    """

    def __init__(self, width: float, *, style: str = "", title: str) -> None:
        self.width = width
        self._style, self._title = style, title
        self._parts: list[str] = []
        self._defs: list[str] = []

    def define(self, xml: str) -> None:
        """Add a definition, such as a pattern.

        Parameters
        ----------
        xml : str
            The element.
        """
        self._defs.append(xml)

    def clip(self, name: str, x: float, y: float, width: float, height: float) -> None:
        """Define a rectangle that groups can be cut at.

        Parameters
        ----------
        name : str
            Of the clip path.
        x, y, width, height : float
            The rectangle.
        """
        self.define(
            f'<clipPath id="{name}"><rect x="{number(x)}" y="{number(y)}" '
            f'width="{number(width)}" height="{number(height)}"/></clipPath>'
        )

    def rect(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """Draw a rectangle.

        Parameters
        ----------
        x, y, width, height : float
            Where.
        kind : str
            CSS class.
        """
        self._parts.append(
            f'<rect class="{kind}" x="{number(x)}" y="{number(y)}" '
            f'width="{number(width)}" height="{number(height)}"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """Draw a line.

        Parameters
        ----------
        x1, y1, x2, y2 : float
            From, to.
        kind : str
            CSS class.
        """
        self.path(f"M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}", kind)

    def path(self, d: str, kind: str) -> None:
        """Draw a path.

        Parameters
        ----------
        d : str
            Its commands; nothing is drawn when empty.
        kind : str
            CSS class.
        """
        if d:
            self._parts.append(f'<path class="{kind}" d="{d}"/>')

    def text(self, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> None:
        """Write a line of text.

        Parameters
        ----------
        x, y : float
            Its anchor, on the base line.
        text : str
            Any text.
        kind : str
            CSS class.
        anchor : str
            ``start``, ``middle`` or ``end``.
        """
        said = f' class="{kind}"' if kind else ""
        said += f' text-anchor="{anchor}"' if anchor != "start" else ""
        self._parts.append(f'<text{said} x="{number(x)}" y="{number(y)}">{escape(text)}</text>')

    @contextmanager
    def group(self, *, clip: str = "", title: str = "") -> Iterator[None]:
        """Group what is drawn inside the block.

        Parameters
        ----------
        clip : str
            Name of the rectangle that it is cut at.
        title : str
            What a browser shows when the pointer is over it.

        Yields
        ------
        None
        """
        self._parts.append("<g" + (f' clip-path="url(#{clip})"' if clip else "") + ">")
        if title:
            self._parts.append(f"<title>{escape(title)}</title>")
        yield
        self._parts.append("</g>")

    def finish(self, height: float) -> str:
        """Return the file.

        Parameters
        ----------
        height : float
            In pixels.

        Returns
        -------
        str
            SVG 1.1, with its style sheet and a page behind it where it has one.
        """
        size = f'width="{number(self.width)}" height="{number(height)}"'
        box = quoteattr(f"0 0 {number(self.width)} {number(height)}")
        head, page = [], []
        if self._style:
            head = [f"<style>{self._style}</style>"]
            page = [f'<rect class="page" width="{number(self.width)}" height="{number(height)}"/>']
        if self._defs:
            head.append(f"<defs>{''.join(self._defs)}</defs>")
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox={box} role="img">',
                f"<title>{escape(self._title)}</title>",
                *head,
                *page,
                *self._parts,
                "</svg>\n",
            ]
        )
