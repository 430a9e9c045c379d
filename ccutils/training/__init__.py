"""IC-Train: training with demonstrations in the prompt, from a run's description to its adapter.

`plan` and `settings` describe a run and are light to import. `prepare` loads its task, finds its base, builds
its prompts (`dataset`) and refuses bad input; `identity` decides which run a folder contains; `run` trains it
with `trainer`, TRL's SFTTrainer on the target's answer only, whose checkpoints are `saved`, and records the
result; `launch` starts it in other processes. `memory` and `timing` predict what it will take. The method is
the paper's, all settings are ours. This subpackage uses `models`, `contexts`, `tasks` and the root. `plan`,
`prepare` and `launch` are tested in tests/training/test_run.py.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
