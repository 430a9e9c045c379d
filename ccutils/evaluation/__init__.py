"""The probes put to real models: a base and its checkpoints answer, and every answer is kept.

`responder` answers the questions of `ccutils.probes` with torch models, `runs` asks all checkpoints of a
run and writes its rows, `elsewhere` asks a run about tasks that it was not trained on. It uses everything
below: `probes`, `training`, `models`, `contexts`, `tasks` and the root. `runs` is tested in
tests/evaluation/test_responder.py.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
