"""Views of a cell that do not change what it is: orientation, and a little of gain, offset and noise."""

import torch

GAIN, OFFSET, NOISE = 0.05, 0.01, 0.01
"""Standard deviations: of the logarithm of the gain, and of offset and noise as shares of the intensity scale. They are
small because brightness is a phenotype; they stand for what differs between plates after correction."""


def draw_views(images, generator):
    """A random view of every image: one of its eight orientations, without interpolation, slightly brighter or noisier.

    Parameters
    ----------
    images : tensor of float32, shape (N, C, S, S)
        Intensities in [0, 1], on the CPU.
    generator : torch.Generator
        On the CPU, so that a seed gives the same views on every device.

    Returns
    -------
    tensor of float32, shape (N, C, S, S)
    """
    count, channels = images.shape[:2]
    quarters, mirrored = torch.randint(4, (count,), generator=generator), torch.rand(count, generator=generator) < 0.5
    views = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)
    for turns in range(1, 4):
        views[quarters == turns] = torch.rot90(views[quarters == turns], turns, (2, 3))
    gain = torch.exp(GAIN * torch.randn(count, channels, 1, 1, generator=generator))
    offset = OFFSET * torch.randn(count, channels, 1, 1, generator=generator)
    noise = NOISE * torch.rand(count, channels, 1, 1, generator=generator)
    views = views * gain + offset + noise * torch.randn(views.shape, generator=generator)
    return views.clamp_(0, 1)
