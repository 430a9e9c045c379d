"""Base models, how they answer, and what lets a batch of prompts share its beginning.

A model is a directory, a Hub id, `tiny`, which is trained here from scratch (`tiny`, `tiny_episodes`),
`smollm2` or `gemma3-270m`, fetched from the package index (`ccutils.packaged`); `base` loads it, in NF4 and
with the adapter of `lora`. `generation` answers prompts, sharing their beginnings by `prefixes`; `packing`
and `packed_attention` train prompts with shared contexts as one sequence; `paraphraser` asks a model for
paraphrases. All of it is ours.
It uses `contexts`, `tasks` and the root; torch and transformers are imported when a name of this room is
first used. `lora` is tested in
tests/training/test_settings.py, `prefixes` in test_generation.py, `packed_attention` in test_packing.py,
`tiny_episodes` in test_tiny.py; `kept` keeps tiny bases in the repository.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
