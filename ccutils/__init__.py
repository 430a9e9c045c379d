"""Training in-context and in-weights mixtures by contrastive context sampling (arXiv:2604.01601)."""

import logging

__version__ = "0.1.0"

# On some CPUs it warns about an inference kernel that is not used here (ccutils.models.base.load_base).
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
# It logs SQL that it cannot parse. Models often write such SQL; these answers are scored without the log.
logging.getLogger("sqlglot").setLevel(logging.ERROR)
