"""Networks by name: where they come from, their weights, what their input must look like.

Names are imported on first use: torch costs seconds, and checking a name does not need it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"load": ["Backbone", "backbone_of", "load_backbone"], "names": ["BackboneError"]},
)
