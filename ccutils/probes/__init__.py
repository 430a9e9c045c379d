"""Probes: questions to a model and scores of its answers. Half of the core, with `ccutils.contexts`.

`questions` combines targets of the test sets with contexts constructed for a purpose, `scores` computes IWL-,
ICL- and Copy-score from the answers, `live_pool` answers from a pool that grows while a model is in use, and
`arrivals` asks the same questions before and after it has grown. The scores are the paper's, their
measurement is ours. Any function from prompts to texts can answer. This subpackage imports `contexts`,
`tasks` and the root only, without torch. `estimates`, `judged` and `same_targets` are tested in
tests/probes/test_scores.py.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
