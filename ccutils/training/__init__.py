"""IC-Train: a run from its description to its adapter, in three steps.

`plan` and `settings` describe a run, light to import. `prepare` loads its task, finds its base and builds
its prompts (`dataset`), and refuses bad input; `identity` decides which run a folder contains; `run` trains
it with `trainer`, TRL's SFTTrainer on the target's answer alone, whose checkpoints are `saved`, and records
the result; `launch` starts it in processes of its own. `memory` and `timing` estimate what it will take.
Training with demonstrations in the prompt is the paper's, all settings are ours. It uses `models`,
`contexts`, `tasks` and the root. `plan`, `prepare` and `launch` are tested in tests/training/test_run.py.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
