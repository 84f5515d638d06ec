"""Settings of wells, statistics and the report."""

from typing import ClassVar

from pydantic import Field

from profiling.settings.section import Section


class Wells(Section):
    """Well and treatment profiles."""

    version: ClassVar[int] = 2

    minimum_cells: int = Field(
        10, ge=1, description="Wells with fewer profiled cells are flagged and left out of tests and means."
    )


class Statistics(Section):
    """Permutation tests on wells."""

    version: ClassVar[int] = 2

    permutations: int = Field(
        9_999, ge=99, description="Permutations of wells; all arrangements are used where there are fewer."
    )
    alpha: float = Field(0.05, gt=0, lt=1, description="False discovery rate at which a treatment is active.")


class Report(Section):
    """The HTML report."""

    title: str = Field("Phenotypic profiles", description="Title of the report.")
    cells_per_cluster: int = Field(16, ge=1, le=100, description="Thumbnails a cluster in the galleries.")
