"""From measured rows to what a person reads: means and intervals, hypotheses, figures, one page.

`aggregate` takes rows to means over seeds, `paired` compares strategies, `hypotheses` and `findings` say what
the rows show, `charts` draws every figure, `build` and `page` put them on one page that works offline,
`answers` and `answers_page` show on another what was asked and answered, `elsewhere` has the tasks that were
not trained on; `context_table` and `sliders` are for notebooks. It uses the root, and of `contexts`, `tasks`
and `probes` what makes contexts and questions again; it never trains or asks a model. The hypotheses are our
reading of the paper's claims; their bounds are ours. Its sliders need a kernel, for each place draws a figure
of its own with numbers from Python; `theory.curves.movable` has others, which work in a page without one.
`page` is tested in tests/report/test_build.py, `paired` in test_hypotheses.py."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
