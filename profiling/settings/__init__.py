"""The settings of every stage: typed, ranged, documented.

Each section is a frozen model whose field descriptions generate ``config/README.md`` and the JSON schema.
``version`` is the version of the stage's code: raising it reruns the stage on the next start, because
Snakemake cannot notice that the code of a package changed.
"""

from profiling.settings.cells import Overlays, Segmentation, Tiles
from profiling.settings.embedding import Embedding
from profiling.settings.images import READERS, Illumination, Images, Limits, Quality, Reader
from profiling.settings.phenotypes import (
    ROLES,
    TESTED,
    Clusters,
    Flags,
    Map,
    Normalisation,
    PlateMap,
    Reduction,
    RoleRule,
)
from profiling.settings.section import Length, Name, Section, Visible, pixels
from profiling.settings.wells import Report, Statistics, Wells

__all__ = [
    "Clusters",
    "Embedding",
    "Flags",
    "Illumination",
    "Images",
    "Length",
    "Limits",
    "Map",
    "Name",
    "Normalisation",
    "Overlays",
    "PlateMap",
    "Quality",
    "READERS",
    "ROLES",
    "TESTED",
    "Reader",
    "Reduction",
    "Report",
    "RoleRule",
    "Section",
    "Segmentation",
    "Statistics",
    "Tiles",
    "Visible",
    "Wells",
    "pixels",
]
