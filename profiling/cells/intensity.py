"""Intensity of labelled regions, by the definitions of CellProfiler's MeasureObjectIntensity."""

import numpy as np

from profiling.cells.regions import segment_max, segment_mean, segment_min, segment_sum


def measure_intensity(image, regions):
    """Measure the intensities of every region in one channel.

    Parameters
    ----------
    image : (H, W) real array
    regions : Regions

    Returns
    -------
    dict of str to (n,) float64
        By CellProfiler's feature name, in the units of the image. StdIntensity is the population standard
        deviation. MassDisplacement is the distance in px between the region's centroid and its centroid
        weighted by intensity, NaN where the weights sum to zero.
    """
    values = image[regions.rows, regions.columns].astype(float)
    total = segment_sum(values, regions)
    mean = total / regions.areas
    deviation = values - mean[regions.owners]
    return {
        "MeanIntensity": mean,
        "StdIntensity": np.sqrt(segment_mean(deviation * deviation, regions)),
        "IntegratedIntensity": total,
        "MinIntensity": segment_min(values, regions),
        "MaxIntensity": segment_max(values, regions),
        "MassDisplacement": np.hypot(
            _displacement(regions.rows, values, total, regions),
            _displacement(regions.columns, values, total, regions),
        ),
    }


def _displacement(coordinate, values, total, regions):
    """Signed distance along one axis from the centroid to the centroid weighted by intensity."""
    moment = segment_sum(coordinate * values, regions)
    weighted = np.divide(moment, total, out=np.full(len(total), np.nan), where=total != 0)
    return weighted - segment_mean(coordinate, regions)
