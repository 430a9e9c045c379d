"""The page answers.html, and the links that lead to it from the points of the report's figures."""

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from ccutils.private import in_all_texts
from ccutils.records import write_whole
from ccutils.report.answers import answer_blocks

PAGE_HTML = Path(__file__).with_name("answers_page.html")
ANSWERS_PAGE = "answers.html"
SHOWN_KINDS: Mapping[str, tuple[str, int | None]] = {
    "quality": ("plain", None),
    "similarity": ("bins", None),
    "empty": ("empty", 0),
    "retrieved": ("retrieved", 0),
    "nearest_label": ("retrieved", 0),
    "iwl": ("plain", 0),
    "icl": ("changed", None),
    "icl_known": ("changed", 1),
    "icl_unknown": ("changed", 1),
    "copy": ("plain", 0),
    "copy_rate": ("plain", 0),
    "copy_chance": ("plain", 0),
    "copy_excess": ("plain", 0),
    "blind": ("plain", 1),
    "gain": ("plain", 1),
    "gate": ("plain", None),
    "choice": ("plain", 1),
    "intrusion": ("plain", 1),
    "hard": ("hard", 1),
    "hard_choice": ("hard", 1),
    "hard_changed": ("hard_changed", 1),
    "mislabelled": ("mislabelled", None),
    "mislabelled_followed": ("mislabelled", None),
    **{kind: (kind, 0) for kind in ("nearest_first", "nearest_last", "noisy_10", "noisy_25")},
}
"""Which questions a probe is measured by: their kind ("bins": of none relevant or one neighbour), and their
number of relevant examples; None is the row's own grade."""
FIGURE_PROBES = {
    "quality_by_similarity": "similarity",
    "quality_by_relevance": "quality",
    "scores_over_training": "iwl",
    "frontier": "iwl",
    "scores_at_the_end": "iwl",
    "ablations": "iwl",
}


def write_answers(results: Path, public: Callable[[str], str]) -> Path:
    """Write results/answers.html, whole or not at all: every question and answer of the folder's runs.

    `public` takes out of a text what shall not be passed on.
    """
    index: list[dict[str, Any]] = []
    scripts: list[str] = []
    for made in answer_blocks(results):
        block = in_all_texts(made, public)
        name = f"block-{len(index)}"
        scripts.append(packed(name, block))
        index.append({**{key: block[key] for key in ("task", "model", "seed", "base", "k")}, "id": name})
    about = {"blocks": in_words_each(index), "probes": SHOWN_KINDS}
    page = PAGE_HTML.read_text(encoding="utf-8").replace(
        "{{blocks}}", "\n".join([packed("index", about), *scripts])
    )
    path = results / ANSWERS_PAGE
    write_whole(path, page)
    return path


def in_words_each(index: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give each block a title and the name of its part, which together no other has."""
    several = {name: len({str(block[name]) for block in index}) > 1 for name in ("model", "k")}
    told = []
    for block in index:
        title = block["task"] + (f", {block['model']}" if several["model"] else "")
        base = f", base {block['base']}" if block["base"] else ""
        part = f"{block['seed']}{base}" + (f", k = {block['k']}" if several["k"] else "")
        told.append({**block, "title": title, "part": part})
    return told


def packed(name: str, value: Any) -> str:
    """Return JSON-like values as a script element that holds them gzipped, in base64: nothing to escape."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    data = base64.b64encode(gzip.compress(text.encode("utf-8"), mtime=0)).decode("ascii")
    return f'<script type="text/plain" id="{name}">{data}</script>'


def link_points(specification: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Vega-Lite chart whose marks lead to the answers behind them.

    That is every mark with a tooltip, of data that say the probe. Charts get links in the report alone: a
    notebook's or a saved figure's would lead nowhere.
    """
    sets = specification.get("datasets", {})

    def walk(part: Any, data: str) -> Any:
        if isinstance(part, list):
            return [walk(inner, data) for inner in part]
        if not isinstance(part, Mapping):
            return part
        data = part.get("data", {}).get("name", data) if isinstance(part.get("data", {}), Mapping) else data
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
    """Return a Vega expression for a name in a link: what is no plain character becomes a _, as the page has
    it in its own names.
    """
    return f"replace({value}, regexp('[^A-Za-z0-9_.,=-]', 'g'), '_')"


STRATEGY = "datum.strategy + (datum.variant ? ',' + datum.variant : '')"
LINK = (
    f"'{ANSWERS_PAGE}#task=' + {_clean('datum.task')} + '&model=' + {_clean('datum.model')}"
    f" + '&strategy=' + {_clean(STRATEGY)} + '&step=' + datum.step + '&set=' + datum.set"
    " + '&probe=' + datum.probe + '&grade=' + datum.grade"
)
"""A Vega expression: where the answers behind a row are."""


def answers_link(figure: str) -> str:
    """Return a line that leads to the answers behind a figure; '' for one that is not made of answers."""
    probe = next((probe for name, probe in FIGURE_PROBES.items() if figure.startswith(name)), "")
    if not probe:
        return ""
    address = escape(f"{ANSWERS_PAGE}#probe={probe}")
    name = escape(figure.replace("_", " "))
    link = f'<a href="{address}">the answers behind {name}</a>'
    return f"<p>Click a mark for the answers behind it, or see {link}.</p>"
