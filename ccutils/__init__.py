"""In-context and in-weights mixtures by contrastive context sampling (arXiv:2604.01601)."""

__version__ = "0.1.0"
