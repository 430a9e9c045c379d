"""The minimal model: two parameters, how sharply attention follows similarity and how far the weights pull.

`model`: data, loss, derivatives and closed forms. `gradient_flow`: where training ends. `knowledge`: what
that means as the weights learn. `construction`: the two-layer transformer that computes the model.
`transformer`: such transformers trained from scratch. `comparison`: theory and trained transformers together.
`prediction`: gate and choice of all strategies from those of one. `charts`, `curves`: figures. The idea of a
minimal model of two parameters is the paper's; this one and its analysis are ours. `comparison` is tested in
tests/theory/test_transformer.py, `curves` in test_charts.py.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
