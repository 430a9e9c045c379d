"""From measured rows to figures, tables, verdicts and one page.

`aggregate` averages rows over seeds, `paired` compares strategies target by target, `hypotheses` and
`findings` state what the rows show, `charts` draws the figures, `build` and `page` write report.html,
`answers` and `answers_page` write answers.html, `elsewhere` covers transfer tasks, `reference` and `tables`
the rows in data/reference and the tables made from them; `context_table` and `sliders` are for notebooks.
Nothing here trains or asks a model. Hypotheses are our reading of the paper's claims, with bounds of ours."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
