"""Probe torch models: collect the answers of a base and its checkpoints, save and score them.

`responder` answers the questions of `ccutils.probes`, `runs` probes all checkpoints of a run and writes its
rows, `elsewhere` probes a run on transfer tasks, `baselines` scores the baselines without a language model.
This subpackage uses `probes`, `training`, `models`, `contexts`, `tasks` and the root. `runs` is tested in
tests/evaluation/test_responder.py.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
