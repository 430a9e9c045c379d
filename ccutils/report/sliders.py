"""A chart that follows sliders in a running notebook."""

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import vl_convert


def moving_chart(draw: Callable[..., Any], **controls: Any) -> widgets.VBox:
    """Build controls above the chart that `draw` makes from their values; moving one redraws it.

    `controls` are ipywidgets by the names of draw's parameters, which label them. The chart is an SVG in an
    HTML widget, since ipywidgets' Output sometimes hangs a notebook that runs without a browser
    (github.com/nteract/papermill/issues/723). An error is shown in place of the chart.
    """
    picture = widgets.HTML()

    def redraw(change: Any = None) -> None:
        values = {name: control.value for name, control in controls.items()}
        try:
            picture.value = vl_convert.vegalite_to_svg(draw(**values).to_dict())
        except ValueError as error:
            picture.value = f"<p>{error}</p>"

    for name, control in controls.items():
        control.description = control.description or name
        control.continuous_update = False  # a chart for every pixel would lag behind
        control.observe(redraw, "value")
    redraw()
    return widgets.VBox([*controls.values(), picture])
