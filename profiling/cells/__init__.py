"""From images to cells: segmentation engines and the measurement of the cell table.

Names are imported on first use, so that a job loads no more than it needs.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "engines": ["load_segmenter"],
        "measure": ["cell_columns", "measure_cells"],
        "quality": ["segmentation_score"],
    },
)
