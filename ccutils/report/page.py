"""The report as HTML: one page that needs no network, with interactive figures."""

import base64
import json
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from ccutils.style import EMBED


def write_page(path: Path, title: str, body: Iterable[str]) -> None:
    """Write the parts of `body` and what their figures need as one HTML file, whole or not at all."""
    part = path.with_name(path.name + ".part")
    page = PAGE.format(
        title=escape(title),
        body="\n".join(body),
        bundle=bundle(),
        embed=json.dumps({**EMBED, "renderer": "svg"}),
    )
    part.write_text(page, encoding="utf-8")
    part.replace(path)


def bundle() -> str:
    """Return the JavaScript that draws Vega-Lite charts, of the version that Altair writes."""
    major, minor = alt.SCHEMA_VERSION.lstrip("v").split(".")[:2]
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=f"{major}.{minor}")


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def table_html(table: pd.DataFrame) -> str:
    """Return a frame as an HTML table that may scroll sideways."""
    return f'<div class="wide">{table.to_html(index=False, border=0)}</div>'


def figure_html(name: str, chart: Any, reading: str) -> str:
    """Return a chart's place in the page, its specification, and how to read it."""
    # No text of a chart may end the script that holds it.
    specification = json.dumps(chart.to_dict()).replace("<", "\\u003c")
    return (
        f'<figure id="{escape(name)}"><div class="wide chart"></div>'
        f'<script type="application/json">{specification}</script>'
        f"<figcaption><b>How to read it.</b> {escape(reading)}</figcaption></figure>"
    )


def image_html(path: Path) -> str:
    """Return a saved SVG, embedded, with a link to the interactive version saved beside it."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    link = f"{path.parent.name}/{path.stem}.html"
    image = f'<img alt="{escape(path.stem)}" src="data:image/svg+xml;base64,{data}">'
    return (
        f'<figure><div class="wide">{image}</div>'
        f'<figcaption><a href="{escape(link)}">{escape(path.stem)}, interactive</a></figcaption></figure>'
    )


# The policy forbids the browser to fetch anything, so a page that shows is a page that is whole.
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: blob:;
 style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'">
<style>
body {{ font: 15px/1.5 Helvetica, Arial, "Liberation Sans", sans-serif; color: #222;
  max-width: 1080px; margin: 2em auto; padding: 0 1em; }}
p, figcaption {{ max-width: 50em; }}
figure {{ margin: 2em 0; break-inside: avoid; }}
.wide {{ overflow-x: auto; }}
img {{ max-width: 100%; }}
table {{ border-collapse: collapse; font-size: 13px; }}
td, th {{ padding: 3px 10px 3px 0; vertical-align: top; text-align: left; border-bottom: 1px solid #ddd; }}
th {{ border-bottom: 2px solid #999; }}
</style></head><body>
<h1>{title}</h1>
{body}
<script>{bundle}</script>
<script>
for (const figure of document.querySelectorAll("figure[id]")) {{
  const specification = JSON.parse(figure.querySelector("script").textContent);
  vegaEmbed(figure.querySelector(".chart"), specification, {embed});
}}
</script>
</body></html>
"""
