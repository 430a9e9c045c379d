"""The minimal model of in-context and in-weights learning: two parameters, exact loss, and its predictions.

One parameter is how sharply attention follows similarity, the other how strongly the prediction relies on the
weights. `model`: data, loss, derivatives and closed forms. `gradient_flow`: where training ends. `knowledge`:
in-context learning as the weights learn. `construction`: a two-layer transformer that computes the model.
`transformer`: such transformers trained from scratch. `comparison`: theory against trained transformers.
`prediction`: predict gate and choice of all strategies from one. `charts`, `curves`: figures. The idea of a
minimal model with two parameters is the paper's; this model and its analysis are ours. `comparison` is tested
in tests/theory/test_transformer.py, `curves` in test_charts.py.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
