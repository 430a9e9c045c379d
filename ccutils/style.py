"""The fixed style of every figure: a colour, dash and shape for each strategy, and how a chart is saved.

Importing this module sets the theme of all Altair charts of the session.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from ccutils.records import check_strategies

# Okabe and Ito's colours, distinct to the colour-blind; dash and shape are distinct in greyscale print.
LOOKS: dict[str, tuple[str, list[int], str]] = {
    "base": ("#000000", [1, 3], "cross"),
    "none": ("#8c8c8c", [2, 2], "triangle-down"),
    "random": ("#0072b2", [7, 3], "square"),
    "similar": ("#d55e00", [10, 3, 2, 3], "triangle-up"),
    "batch_mix": ("#cc79a7", [4, 3], "diamond"),
    "contrastive": ("#009e73", [1, 0], "circle"),
}
"""Colour, dash and shape of each strategy."""
COLOURS = {name: colour for name, (colour, _, _) in LOOKS.items()}
DASHES = {name: dash for name, (_, dash, _) in LOOKS.items()}
SHAPES = {name: shape for name, (_, _, shape) in LOOKS.items()}

EMBED = {"actions": {"export": True, "source": False, "compiled": False, "editor": False}}
"""The menu of an interactive figure: save as SVG or PNG; nothing that opens a site."""

# Altair's limit guards against raw data in a figure; ours are aggregated, and long runs exceed it.
alt.data_transformers.disable_max_rows()


@alt.theme.register("ccutils", enable=True)
def looks() -> alt.theme.ThemeConfig:
    """Define sizes and greys shared by all figures, legible at a column's width."""
    return {
        "config": {
            "background": "white",
            # Space for names in a legend if a browser falls back to a wider font.
            "padding": {"left": 5, "top": 5, "right": 18, "bottom": 5},
            "font": "Helvetica, Arial, Liberation Sans, sans-serif",
            "axis": {
                "labelFontSize": 11,
                "titleFontSize": 12,
                "titleFontWeight": "normal",
                "gridColor": "#e6e6e6",
            },
            "header": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
            "legend": {"labelFontSize": 11, "titleFontSize": 12, "symbolSize": 90, "symbolStrokeWidth": 2},
            "title": {"anchor": "start", "fontSize": 14, "subtitleFontSize": 11, "subtitleColor": "#444444"},
            "view": {"stroke": "#cccccc"},
        }
    }


def colour_scale(names: Iterable[str]) -> alt.Scale:
    """Map the strategies named to their colours."""
    return _scale(names, COLOURS)


def dash_scale(names: Iterable[str]) -> alt.Scale:
    """Map the strategies named to their dashes."""
    return _scale(names, DASHES)


def shape_scale(names: Iterable[str]) -> alt.Scale:
    """Map the strategies named to their point shapes."""
    return _scale(names, SHAPES)


def _scale(names: Iterable[str], looks: Mapping[str, Any]) -> alt.Scale:
    order = check_strategies(names)
    return alt.Scale(domain=order, range=[looks[name] for name in order])


def save(chart: Any, stem: Path) -> list[Path]:
    """Write `chart` to stem.svg, stem.png (twice the pixels, for print) and stem.html (works offline)."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("svg", "png", "html")]
    chart.save(paths[0])
    # From the SVG, since laying a chart out takes most of the time.
    paths[1].write_bytes(vl_convert.svg_to_png(paths[0].read_text(encoding="utf-8"), scale=2))
    chart.save(paths[2], inline=True, embed_options=EMBED)
    return paths
