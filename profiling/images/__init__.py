"""Images: decoding, quality, illumination and intensity limits."""

from profiling.images.illumination import (
    Flatfield,
    correct,
    fit_illumination,
    intensity_limits,
    read_flatfield,
    scale,
    write_flatfield,
)
from profiling.images.quality import (
    focus_score,
    measure_quality,
    noise_sigma,
    pixel_hash,
    power_log_log_slope,
    quality_columns,
)
from profiling.images.read import ImageError, read_header, read_image

__all__ = [
    "Flatfield",
    "ImageError",
    "correct",
    "fit_illumination",
    "focus_score",
    "intensity_limits",
    "measure_quality",
    "noise_sigma",
    "pixel_hash",
    "power_log_log_slope",
    "quality_columns",
    "read_flatfield",
    "read_header",
    "read_image",
    "scale",
    "write_flatfield",
]
