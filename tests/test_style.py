"""The looks: one colour per strategy; what is saved works without a network."""

import re
from pathlib import Path

import altair as alt
import pandas as pd
import pytest

from ccutils.errors import InputError
from ccutils.records import ORDER, check_strategies
from ccutils.style import COLOURS, DASHES, SHAPES, colour_scale, save


def test_every_strategy_has_a_look_of_its_own() -> None:
    for looks in (COLOURS, DASHES, SHAPES):
        assert tuple(looks) == ORDER
        assert len({str(look) for look in looks.values()}) == len(ORDER)


def test_strategies_keep_their_order_and_colour_however_few_there_are() -> None:
    assert check_strategies(["contrastive", "random", "random"]) == ["random", "contrastive"]
    scale = colour_scale(["contrastive", "random"]).to_dict()
    assert dict(zip(scale["domain"], scale["range"], strict=True))["contrastive"] == COLOURS["contrastive"]
    with pytest.raises(InputError, match=r"'nearest' is unknown: known are base, none"):
        check_strategies(["nearest"])


def test_saved_figures_are_whole_and_need_no_network(tmp_path: Path) -> None:
    chart = alt.Chart(pd.DataFrame({"x": [0.0, 1.0], "y": [0.0, 1.0]})).mark_line().encode(x="x", y="y")
    svg, png, html = save(chart, tmp_path / "new" / "figure.v1")
    assert [p.name for p in (svg, png, html)] == ["figure.v1.svg", "figure.v1.png", "figure.v1.html"]
    assert svg.read_text().startswith("<svg") and png.read_bytes().startswith(b"\x89PNG")
    page = html.read_text(encoding="utf-8")
    assert "vegaEmbed" in page and not re.search(r"""<(script|link)[^>]*(src|href)=""", page)
    assert not re.search(r"""(cdn|jsdelivr|unpkg|googleapis)\.""", page)
