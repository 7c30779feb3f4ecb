"""How the picture of a replay looks: its style sheet, for light and dark pages, and its patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vswitch.svg import Drawing

_LIGHT = {
    "page": "#ffffff", "ink": "#1f2328", "dim": "#59636e", "grid": "#d1d9e0", "to": "#0550ae",
    "from": "#1a7f37", "again": "#bc4c00", "drop": "#cf222e", "band": "#59636e",
}  # fmt: skip
_DARK = {
    "page": "#0d1117", "ink": "#f0f6fc", "dim": "#9198a1", "grid": "#3d444d", "to": "#79c0ff",
    "from": "#56d364", "again": "#ffa657", "drop": "#ff7b72", "band": "#9198a1",
}  # fmt: skip

PART_FILLS = ("part-a", "part-b", "part-c", "part-d")
"""Classes of the parts of a blackout, one after the other."""


def _colours(c: dict[str, str]) -> str:
    return (
        f".page{{fill:{c['page']}}}"
        f"text{{fill:{c['ink']}}}.dim,.tick,.small{{fill:{c['dim']}}}"
        f".grid,.frame{{stroke:{c['grid']}}}.axis{{stroke:{c['dim']}}}"
        f".to{{stroke:{c['to']}}}.from{{stroke:{c['from']}}}"
        f".again{{stroke:{c['again']};fill:{c['page']}}}"
        f".drop,.death{{stroke:{c['drop']}}}.dead{{fill:{c['drop']}}}"
        f".bar{{fill:{c['dim']}}}.sent{{fill:{c['to']}}}.dirty{{stroke:{c['again']}}}"
        f".wait{{fill:{c['band']};opacity:.3}}.hatch{{stroke:{c['band']}}}.dot{{fill:{c['band']}}}.edge{{stroke:{c['band']}}}"
        f".part-a{{fill:{c['band']}}}.outline{{stroke:{c['ink']}}}"
        f".halo{{stroke:{c['page']}}}"
    )


STYLE = (
    "text{font:12px system-ui,'DejaVu Sans',sans-serif}"
    ".title{font-size:16px;font-weight:600}.head{font-weight:600}.label{font-size:11px}"
    ".tick,.small{font-size:10.5px}.strong{font-weight:600}"
    ".halo{paint-order:stroke;stroke-width:3px;stroke-linejoin:round}"
    ".grid{stroke-width:.6;fill:none;stroke-dasharray:2 3}.frame{stroke-width:1;fill:none}"
    ".axis{stroke-width:1;fill:none}"
    ".to,.from{stroke-width:1.7;fill:none}"
    ".again{stroke-width:1.3}.drop{stroke-width:1.5;fill:none}"
    ".death{stroke-width:2;fill:none}.sent{opacity:.75}"
    ".dirty{stroke-width:1.6;fill:none;stroke-dasharray:4 2}"
    ".hatch{stroke-width:1;opacity:.38}.dot{opacity:.55}.edge{stroke-width:1;fill:none;opacity:.8}"
    ".away{fill:url(#away)}.lost{fill:url(#lost)}"
    ".part-a{opacity:.45}.part-b{fill:url(#away)}.part-c{fill:url(#dots)}.part-d{fill:url(#cross)}"
    ".outline{stroke-width:1;fill:none}"
    + _colours(_LIGHT)
    + f"@media (prefers-color-scheme:dark){{{_colours(_DARK)}}}"
)
"""The style sheet."""


def define_patterns(drawing: Drawing) -> None:
    """Define the fills that tell intervals and parts apart without colour.

    Parameters
    ----------
    drawing : Drawing
        Gets the definitions.
    """
    head = 'patternUnits="userSpaceOnUse" width="6" height="6"'
    drawing.define(f'<pattern id="away" {head}><path class="hatch" d="M0 6L6 0"/></pattern>')
    drawing.define(f'<pattern id="lost" {head}><path class="hatch" d="M0 3H2"/></pattern>')
    drawing.define(
        f'<pattern id="dots" {head}><circle class="dot" cx="3" cy="3" r="1.3"/></pattern>'
    )
    drawing.define(
        f'<pattern id="cross" {head}><path class="hatch" d="M0 6L6 0M0 0L6 6"/></pattern>'
    )
