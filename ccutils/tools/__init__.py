"""The command line `ccutils`: contexts for any trainer, probes of any model, outside of the chain.

`cli` has the commands, `export` writes training rows to a file, `probe` asks a model the probes' questions,
`endpoint` asks one behind a server and `replies` parses what the server returns, `compare` compares two
models. It uses `contexts`, `probes`, `tasks` and the root, and `evaluation` (torch) only for a model that is
loaded here; it does not use the chain. `export`, `probe` and `compare` are tested in tests/tools/test_cli.py.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
