"""In-context learning on transfer tasks, which a run was not trained on: a figure and a table."""

from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from ccutils.records import ELSEWHERE, ORDER, read_rows
from ccutils.report.aggregate import check_rows, final_rows, over_seeds, write_number
from ccutils.report.charts import QUALITY, UNIT_SCALE, count_axis, curves, explain, panels

ELSEWHERE_TITLE = "Quality on transfer tasks, by number of relevant examples"


def find_elsewhere(results: Path) -> pd.DataFrame | None:
    """Read the rows of transfer tasks below a results folder; `set` names the task. None without any."""
    paths = sorted(results.rglob(ELSEWHERE))
    return check_rows(read_rows(paths)) if paths else None


def elsewhere_scores(rows: pd.DataFrame) -> pd.DataFrame:
    """Average quality at the last step: a row for each task trained, task asked, strategy and grade."""
    final = final_rows(rows)
    return over_seeds(final[final["probe"] == "quality"])


def elsewhere(rows: pd.DataFrame) -> Any:
    """Draw quality on each transfer task by the number of relevant examples, a line for each strategy."""
    data = elsewhere_scores(rows).drop(columns="probe")  # the answers' page has none of these
    data = data.assign(kind="mean", panel="trained on " + panels(data), asked="asked: " + data["set"])
    y = alt.Y("value:Q", title=QUALITY, scale=UNIT_SCALE)
    return (
        curves(data, count_axis(data["grade"]), y)
        .properties(width=230, height=200)
        .facet(
            row=alt.Row("panel:N", title=None),
            column=alt.Column("asked:N", title=None),
            spacing=30,
            title=alt.TitleParams(ELSEWHERE_TITLE, subtitle=explain(data)),
        )
    )


def elsewhere_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Lay the scores out: a row for each run's task and strategy, a column for each question."""
    data = elsewhere_scores(rows)
    text = list(map(write_number, data["value"], data["low"], data["high"]))
    column = data["set"] + ", " + data["grade"].map("{:.0f} relevant".format)
    lines = data.assign(text=text, column=column, place=data["strategy"].map(list(ORDER).index))
    table = lines.pivot(index=["task", "model", "place", "strategy"], columns="column", values="text")
    return table.fillna("–").reset_index().drop(columns="place").rename_axis(columns=None)
