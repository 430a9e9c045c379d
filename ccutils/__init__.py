"""In-context and in-weights mixtures by contrastive context sampling (arXiv:2604.01601)."""

import logging

__version__ = "0.1.0"

# On some CPUs it warns of a kernel for inference that we do not use (see ccutils.models.base.load_base).
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
# It tells of SQL that it cannot read, which models write all the time; such answers are judged all the same.
logging.getLogger("sqlglot").setLevel(logging.ERROR)
