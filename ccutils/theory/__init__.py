"""The minimal model: two parameters that say how sharply attention follows similarity, how far weights pull.

`model` has loss and gradient in closed form, `spread` the same where examples of a context differ in
similarity, `gradient_flow` where gradient flow ends, `knowledge` what that means as the weights learn,
`construction` the two-layer transformer that computes the same, `transformer` such transformers trained from
scratch, `comparison` the two side by side, `charts` and `curves` the figures. That a minimal model of two
parameters explains the strategies is the paper's; this one and its analysis are ours. It stands beside
`report` and uses the root alone. `comparison` is tested in tests/theory/test_transformer.py, `curves` in
test_charts.py.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
