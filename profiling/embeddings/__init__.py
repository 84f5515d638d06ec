"""Per-cell embeddings: backbones and their weights, the compute engines, crops and extraction.

Names are imported on first use: torch costs seconds, and most jobs do not need it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"engine": ["load_embedder"]})
