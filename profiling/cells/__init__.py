"""From images to cells: segmentation engines and the measurement of the cell table."""

from profiling.cells.engines import load_segmenter
from profiling.cells.measure import cell_columns, measure_cells

__all__ = ["cell_columns", "load_segmenter", "measure_cells"]
