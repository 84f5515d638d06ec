"""Views of a cell that do not change what it is: its eight orientations. Brightness is a phenotype and stays."""

import torch


def draw_views(images, generator):
    """Every image in one of its eight orientations, drawn at random; no pixel is interpolated.

    Parameters
    ----------
    images : tensor, shape (N, C, S, S)
        On the CPU.
    generator : torch.Generator
        On the CPU, so that a seed gives the same views on every device.

    Returns
    -------
    tensor, shape (N, C, S, S)
    """
    count = len(images)
    quarters, mirrored = torch.randint(4, (count,), generator=generator), torch.rand(count, generator=generator) < 0.5
    views = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)
    for turns in range(1, 4):
        views[quarters == turns] = torch.rot90(views[quarters == turns], turns, (2, 3))
    return views
