"""Contexts: the demonstrations of a prompt. Half of the core, with `ccutils.probes`.

`similarity` and `neighbours` find the neighbours of each pool example, `sampler` samples contexts by a
strategy, `profile` and `dose` measure them, `paraphrase` and
`paraphrase_rules` reword the target, `counterfactual` replaces the labels of a share of the contexts,
`epochs` indexes all epochs, `prompts` writes token ids, and `your_data` exports rows for your own trainer.
Sampling is a pure function of (seed, epoch, target). The strategies are the paper's by name; their details
are ours where its text is not known to us. This subpackage imports `tasks` and the root only, without torch.
`similarity` is tested in tests/contexts/test_neighbours.py, `paraphrase_rules` in test_paraphrase.py,
`epochs` in test_your_data.py and tests/training/test_dataset.py, `dose` in test_counterfactual.py.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
