"""Base models, LoRA adapters and generation.

A model is a directory, a Hub id, `tiny`, which is pretrained here (`tiny`, `tiny_episodes`), or `smollm2` and
`gemma3-270m` from the package index (`ccutils.packaged`). `base` loads it, in NF4 and with the adapter of
`lora`; `unpacked` makes small models faster on a CPU. `generation` answers prompts and computes shared
prefixes once (`prefixes`); `paraphraser` asks a model for paraphrases. This subpackage uses `contexts`,
`tasks` and the root. torch and transformers are imported when one of its names is first used. `lora` is
tested in tests/training/test_settings.py, `prefixes` in test_generation.py, `tiny_episodes` in test_tiny.py.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
