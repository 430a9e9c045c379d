"""The command line `ccutils`: training data for any trainer, and probes of any model, without the chain.

`cli` defines the commands, `export` writes training rows to a file, `probe` asks a model the probes'
questions, `endpoint` sends them to a server, `replies` parses the server's replies, `compare` compares two
models. This subpackage uses `contexts`, `probes`, `tasks` and the root, and `evaluation` (torch) only for a
model that is loaded here. `export`, `probe` and `compare` are tested in tests/tools/test_cli.py.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
