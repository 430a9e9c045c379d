"""What a model is asked, and what its answers say of it: half of the small core, beside `ccutils.contexts`.

`questions` puts targets of the test sets behind contexts made on purpose, `scores` turns answers into IWL-,
ICL- and Copy-score, `live_pool` holds a pool that grows while a model is in use, and `arrivals` asks the
same before and after it has grown. That there are these scores is the paper's, how they are measured is
ours. Who answers is nothing to this room: a function from prompts to texts. It uses `contexts`, `tasks` and
the root alone: no torch, no Snakemake, no notebook, no chart. `estimates`, `judged` and `same_targets`,
which `scores` is made of, are tested in tests/probes/test_scores.py.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
