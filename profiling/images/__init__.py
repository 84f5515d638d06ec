"""Images: decoding, quality, illumination and intensity limits.

Names are imported on first use, so that a job loads no more than it needs.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "illumination": [
            "Flatfield",
            "correct",
            "fit_illumination",
            "intensity_limits",
            "read_flatfield",
            "scale",
            "write_flatfield",
        ],
        "quality": [
            "focus_score",
            "measure_quality",
            "noise_sigma",
            "pixel_hash",
            "power_log_log_slope",
            "quality_columns",
        ],
        "read": ["ImageError", "read_header", "read_image"],
    },
)
