"""The report as HTML: one page that needs no network, with interactive figures."""

import base64
import json
import os
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from ccutils.origin import COMMAND, hash_file
from ccutils.records import write_whole
from ccutils.report.aggregate import with_noun
from ccutils.report.answers_page import link_points
from ccutils.style import EMBED

FEW_COLUMNS = 5  # a table of more scrolls on a narrow screen, rather than break every number


def write_page(path: Path, title: str, body: Iterable[str]) -> None:
    """Write the parts of `body` and the code that draws their figures as one HTML file, never half."""
    page = PAGE.format(
        title=escape(title),
        body="\n".join(body),
        bundle=bundle(),
        embed=json.dumps({**EMBED, "renderer": "svg"}),
    )
    write_whole(path, page)


def bundle() -> str:
    """Build the JavaScript that draws Vega-Lite charts, of the version that Altair writes."""
    major, minor = alt.SCHEMA_VERSION.lstrip("v").split(".")[:2]
    # Without arguments for code it is the bundle that Altair puts into every figure, built once a process.
    return vl_convert.javascript_bundle(vl_version=f"{major}.{minor}")  # type: ignore[call-arg]


def paragraph(text: str) -> str:
    """Write a paragraph, its text escaped."""
    return f"<p>{escape(text)}</p>"


def heading(text: str, level: int = 2) -> str:
    """Write a heading, its text escaped."""
    return f"<h{level}>{escape(text)}</h{level}>"


def items(texts: Iterable[str]) -> str:
    """Write a list, its text escaped."""
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def folded(summary: str, inside: str) -> str:
    """Fold HTML below a line that opens it."""
    return f"<details><summary>{escape(summary)}</summary>{inside}</details>"


def table_html(table: pd.DataFrame, name: str = "") -> str:
    """Write a frame as an HTML table that may scroll sideways, with a name for screen readers."""
    # A region that scrolls must be reachable by keyboard, and so needs a unique name.
    name = escape(name or f"Table of {', '.join(map(str, table.columns[:3]))}")
    inside = table.to_html(index=False, border=0).replace("<th>", '<th scope="col">')
    kind = "wide many" if len(table.columns) > FEW_COLUMNS else "wide"
    return f'<div class="{kind}" tabindex="0" role="region" aria-label="{name}">{inside}</div>'


def figure_html(name: str, chart: Any, reading: str) -> str:
    """Write the element of a chart, its specification, and how to read it."""
    in_words = f"{name.replace('_', ' ').capitalize()}. {reading}"
    linked = {**link_points(chart.to_dict()), "description": in_words}
    # No text of a chart may end the script that contains it.
    specification = json.dumps(linked).replace("<", "\\u003c")
    label = escape(name.replace("_", " "))
    return (
        f'<figure id="{escape(name)}">'
        f'<div class="wide chart" tabindex="0" role="region" aria-label="{label}"></div>'
        f'<script type="application/json">{specification}</script>'
        f"<figcaption><b>How to read it.</b> {escape(reading)}</figcaption></figure>"
    )


def image_html(path: Path) -> str:
    """Embed a saved SVG, or the PNG beside it if smaller, with a link to the interactive version."""
    kinds = {"svg": "svg+xml", "png": "png"}
    files = [path.with_suffix(f".{kind}") for kind in kinds if path.with_suffix(f".{kind}").exists()]
    smaller = min(files, key=lambda file: file.stat().st_size)
    data = base64.b64encode(smaller.read_bytes()).decode("ascii")
    link = f"{path.parent.name}/{path.stem}.html"
    title = re.sub(r"^\d+[a-z]?_", "", path.stem).replace("_", " ")
    source = f"data:image/{kinds[smaller.suffix[1:]]};base64,{data}"
    return (
        f'<figure><img alt="{escape(f"The minimal model: {title}")}" src="{source}">'
        f'<figcaption><a href="{escape(link)}">{escape(title)}, interactive</a></figcaption></figure>'
    )


def sources_html(results: Path, files: Sequence[Path]) -> str:
    """Write a folded line: the files behind a figure or table with their hashes, and how to make it again."""
    hashes = [f"{path.relative_to(results).as_posix()} ({hash_file(path)[:12]})" for path in files]
    again = os.environ.get(COMMAND)
    how = f"<code>{escape(again)}</code>, after deleting report.html" if again else "the notebooks"
    text = f"<p>Made by {how}. Files, and the start of their SHA-256: {escape('; '.join(hashes))}.</p>"
    return folded(f"Made of {with_noun(len(files), 'file')}", text)


# The policy forbids the browser to fetch anything, so a page that is shown is complete.
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
.wide.chart {{ display: block; }}
.many table {{ min-width: 64em; }}
img {{ max-width: 100%; }}
table {{ border-collapse: collapse; font-size: 13px; }}
td, th {{ padding: 3px 10px 3px 0; vertical-align: top; text-align: left; border-bottom: 1px solid #ddd; }}
th {{ border-bottom: 2px solid #999; }}
@media print {{
  body {{ max-width: none; margin: 0; font-size: 11px; }}
  .wide {{ overflow: visible; }}
  .many table {{ min-width: 0; font-size: 10px; }}
  .chart svg {{ max-width: 100%; height: auto; }}
  .vega-embed details, .vega-bindings {{ display: none; }}
  h2, h3 {{ break-after: avoid; }}
  tr {{ break-inside: avoid; }}
}}
</style></head><body>
<main>
<h1>{title}</h1>
{body}
</main>
<script>{bundle}</script>
<script>
for (const figure of document.querySelectorAll("figure[id]")) {{
  const specification = JSON.parse(figure.querySelector("script").textContent);
  vegaEmbed(figure.querySelector(".chart"), specification, {embed}).then(() => {{
    figure.querySelector(".vega-embed summary")?.setAttribute("aria-label", "Save this figure");
  }});
}}
</script>
</body></html>
"""
