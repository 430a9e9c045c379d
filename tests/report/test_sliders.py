"""Sliders: the chart is drawn at once, again when one moves, and an error is told in its place."""

import altair as alt
import ipywidgets as widgets
import pandas as pd

from ccutils.report.sliders import moving_chart


def bar(height: float, title: str) -> alt.Chart:
    if height < 0:
        raise ValueError("height is negative: raise it.")
    return alt.Chart(pd.DataFrame({"y": [height]}), title=title).mark_bar().encode(y="y:Q")


def test_the_chart_follows() -> None:
    slider, word = widgets.FloatSlider(value=3, min=-10, max=10), widgets.Dropdown(options=["one", "two"])
    box = moving_chart(bar, height=slider, title=word)
    picture = box.children[-1]
    first = picture.value
    assert first.startswith("<svg")
    assert "one" in first
    slider.value = 7.5
    assert picture.value != first
    word.value = "two"
    assert "two" in picture.value
    slider.value = -1
    assert picture.value == "<p>height is negative: raise it.</p>"
    slider.value = 3
    word.value = "one"
    assert picture.value == first
