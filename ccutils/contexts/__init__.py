"""Which demonstrations a prompt holds: half of the small core, beside `ccutils.probes`.

Neighbours of each pool example are found (`similarity`, `neighbours`), contexts sampled from them by a
strategy (`sampler`; `shared` where targets share demonstrations) and measured (`profile`; `dose` counts
contexts with a relevant example), paraphrases of the target written (`paraphrase`, `paraphrase_rules`), the
labels of a share of the contexts replaced (`counterfactual`), all epochs indexed (`epochs`), and all of it
written as token ids (`prompts`). `your_data` is for a trainer of your own. Sampling is
a pure function of (seed, epoch, target). The strategies are the paper's by name; their details are ours
where its text is not known to us. It uses `tasks` and the root alone: no torch, no Snakemake, no notebook,
no chart. `similarity` is tested in tests/contexts/test_neighbours.py, `paraphrase_rules` in
test_paraphrase.py. `epochs`, the order and contexts of every epoch, is tested in test_your_data.py and
tests/training/test_dataset.py.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
