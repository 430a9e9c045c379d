"""The page answers.html, and the links that lead to it from the points of the report's figures."""

import base64
import gzip
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from ccutils.private import hide_private
from ccutils.records import PROBES, write_whole
from ccutils.report.answers import answer_blocks
from ccutils.report.paired import KINDS_OF

PAGE_HTML = Path(__file__).with_name("answers_page.html")
ANSWERS_PAGE = "answers.html"
SHOWN_KINDS = {probe: KINDS_OF.get(probe, "plain") for probe in PROBES} | {"similarity": "bins"}
"""The kind of questions that a probe is measured by ("bins": none relevant or one neighbour)."""
FIGURE_PROBES = {
    "quality_by_similarity": "similarity",
    "quality_by_relevance": "quality",
    "gate_and_choice": "gate",
    **dict.fromkeys(("scores_over_training", "frontier", "scores_at_the_end", "ablations"), "iwl&grade=0"),
}
"""The questions that a figure's link leads to: a probe, and where needed the number of relevant examples."""


def write_answers(results: Path) -> Path:
    """Write results/answers.html, whole or not at all: every question and answer of the folder's runs."""
    index: list[dict[str, Any]] = []
    scripts: list[str] = []
    for block in map(hide_private, answer_blocks(results)):
        name = f"block-{len(index)}"
        scripts.append(packed(name, block))
        index.append({**{key: block[key] for key in ("task", "model", "seed", "base", "k")}, "id": name})
    about = packed("index", {"blocks": titled(index), "probes": SHOWN_KINDS})
    page = PAGE_HTML.read_text(encoding="utf-8").replace("{{blocks}}", "\n".join([about, *scripts]))
    path = results / ANSWERS_PAGE
    write_whole(path, page)
    return path


def titled(index: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give each block a title and the name of its part, which together no other has."""
    several = {name: len({str(block[name]) for block in index}) > 1 for name in ("model", "k")}
    found = []
    for block in index:
        title = block["task"] + (f", {block['model']}" if several["model"] else "")
        base = f", base {block['base']}" if block["base"] else ""
        part = f"{block['seed']}{base}" + (f", k = {block['k']}" if several["k"] else "")
        found.append({**block, "title": title, "part": part})
    return found


def packed(name: str, value: Any) -> str:
    """Write JSON-like values as a script element, gzipped and in base64, so that nothing needs escaping."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    data = base64.b64encode(gzip.compress(text.encode("utf-8"), mtime=0)).decode("ascii")
    return f'<script type="text/plain" id="{name}">{data}</script>'


def link_points(specification: Mapping[str, Any]) -> dict[str, Any]:
    """Link every mark of a Vega-Lite chart that has a tooltip and data with a probe to its answers.

    Charts get links in the report alone: a notebook's or a saved figure's would lead nowhere.
    """
    sets = specification.get("datasets", {})

    def walk(part: Any, data: str) -> Any:
        if isinstance(part, list):
            return [walk(inner, data) for inner in part]
        if not isinstance(part, Mapping):
            return part
        own = part.get("data")
        data = own.get("name", data) if isinstance(own, Mapping) else data
        if "mark" in part and "tooltip" in part.get("encoding", {}):
            if "probe" not in next(iter(sets.get(data, [])), {}):
                return dict(part)
            mark = part["mark"] if isinstance(part["mark"], Mapping) else {"type": part["mark"]}
            # No encoding: that would be read out with the mark's numbers.
            return {**part, "mark": {**mark, "href": {"expr": LINK}}}
        return {name: inner if name == "datasets" else walk(inner, data) for name, inner in part.items()}

    linked: dict[str, Any] = walk(specification, "")
    return linked


def _clean(value: str) -> str:
    """Write a Vega expression for a name in a link: special characters become _, as in the page's names."""
    return f"replace({value}, regexp('[^A-Za-z0-9_.,=-]', 'g'), '_')"


STRATEGY = "datum.strategy + (datum.variant ? ',' + datum.variant : '')"
LINK = (
    f"'{ANSWERS_PAGE}#task=' + {_clean('datum.task')} + '&model=' + {_clean('datum.model')}"
    f" + '&strategy=' + {_clean(STRATEGY)} + '&step=' + datum.step + '&set=' + datum.set"
    " + '&probe=' + datum.probe + '&grade=' + datum.grade"
)
"""A Vega expression: the address of the answers behind a row."""


def answers_link(figure: str) -> str:
    """Write a link to the answers behind a figure; "" for a figure that is not made of answers."""
    probe = next((probe for name, probe in FIGURE_PROBES.items() if figure.startswith(name)), "")
    if not probe:
        return ""
    name = escape(figure.replace("_", " "))
    link = f'<a href="{escape(f"{ANSWERS_PAGE}#probe={probe}")}">the answers behind {name}</a>'
    return f"<p>Click a mark for the answers behind it, or see {link}.</p>"
