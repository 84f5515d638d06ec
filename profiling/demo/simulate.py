"""Write the demo screen: images, plate map, truth."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from profiling.demo.cells import paint_field
from profiling.demo.design import CHANNELS, TROUBLE_COLUMNS, plan_trouble, plate_map
from profiling.demo.optics import DEFOCUS_SIGMA, photograph, plate_optics

PAD = 48  # px simulated around a field: cells cross its border, haze comes in from outside
TRUNCATED_SHARE = 0.6  # of the bytes that are left
SMALLEST_NUCLEUS = 12  # px in the field below which a cell is not in the truth


def simulate(
    folder,
    *,
    plates=("DEMO-1", "DEMO-2"),
    rows=4,
    columns=6,
    sites=2,
    size=432,
    seed=0,
    trouble=True,
    workers=None,
):
    """Simulate a screen of three channels at 20x (0.65 um a pixel) and write it with its truth.

    Each plate holds negative controls (DMSO), positive controls and treatment wells of six compounds at
    three doses: small condensed nuclei, giant multinucleate cells, changed actin and chromatin texture,
    the reporter's move into the nucleus, arrest in mitosis, and cell loss. The same arguments give the
    same bytes, whatever `workers`.

    Written below `folder`:

    - ``images/{plate}/{plate}_{well}_s{site}_{channel}.tif``: 12 bits in uint16, LZW;
    - ``platemap.csv``: plate, well, compound, concentration, unit, role;
    - ``truth/labels/{plate}/{well}_s{site}_nuclei.tif`` and ``..._cells.tif``: uint16 labels, the same in
      both; cells whose nucleus lies outside the field are left out;
    - ``truth/cells.parquet``: a row a label: field, Metadata_CellID, Phenotype, centroid of the nucleus in
      px, Compound;
    - ``truth/flatfields/{plate}/{channel}.tif``: illumination, float32, maximum 1;
    - ``truth/trouble.csv``: the images that went wrong (see `plan_trouble`); header only without trouble.

    Parameters
    ----------
    folder : str or Path
        Created where absent; files of an earlier screen are overwritten, not removed.
    plates : sequence of str
        Plate names; gain and background differ by 15-25 % between neighbours.
    rows, columns : int
        Layout of a plate, see `plate_map`.
    sites : int
        Fields a well.
    size : int
        Edge of a field in px.
    seed : int
        Same seed, same screen.
    trouble : bool
        Spoil images of the last plate: a truncated file, a missing channel, a field out of focus, a
        blank field, and a well that stands in the plate map only.
    workers : int, optional
        Processes that share the wells; None or 1: this one.

    Raises
    ------
    ValueError
        The layout is too small for its controls or for trouble.
    """
    folder = Path(folder)
    layout = plate_map(plates, rows, columns, seed)
    problems = plan_trouble(layout, sites, seed) if trouble else pd.DataFrame(columns=list(TROUBLE_COLUMNS))
    optics = {plate: plate_optics(index, size, seed) for index, plate in enumerate(plates)}

    truth = folder / "truth"
    for plate in plates:
        for place in (folder / "images", truth / "labels", truth / "flatfields"):
            (place / plate).mkdir(parents=True, exist_ok=True)
        for channel, (flat, _, _) in optics[plate].items():
            tifffile.imwrite(truth / "flatfields" / plate / f"{channel}.tif", flat)
    public = ["plate", "well", "compound", "concentration", "unit", "role"]
    layout[public].to_csv(folder / "platemap.csv", index=False)
    problems.to_csv(truth / "trouble.csv", index=False)

    map_only = problems.loc[problems["kind"] == "map_only", ["plate", "well"]]
    lost = pd.MultiIndex.from_frame(layout[["plate", "well"]]).isin(pd.MultiIndex.from_frame(map_only))
    wells = [well for _, well in layout[~lost].iterrows()]
    tasks = (
        wells,
        (optics[well.plate] for well in wells),
        ([seed, plates.index(well.plate), 5, well.name] for well in wells),
        (problems[(problems["plate"] == well.plate) & (problems["well"] == well.well)] for well in wells),
    )
    write_well = partial(_write_well, folder, sites=sites, size=size)
    if workers is None or workers <= 1:
        cells = list(map(write_well, *tasks))
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            cells = list(pool.map(write_well, *tasks))
    pd.concat(cells, ignore_index=True).to_parquet(truth / "cells.parquet", index=False, compression="zstd")


def _write_well(folder, well, optics, seed, problems, sites, size):
    """Simulate and write the fields of one well; the truth table of its cells."""
    factors = np.random.default_rng(seed).lognormal(0, 0.03, len(CHANNELS))
    tables = []
    for site in range(1, sites + 1):
        kinds = problems[problems["site"] == site].set_index("channel")["kind"].to_dict()
        rng = np.random.default_rng([*seed, site])
        images, cells, nuclei, table = _field(well, optics, factors, set(kinds.values()), size, rng)

        name = folder / "images" / well.plate / f"{well.plate}_{well.well}_s{site}"
        for channel, image in zip(CHANNELS, images):
            _write_image(Path(f"{name}_{channel}.tif"), image, kinds.get(channel))
        labels = folder / "truth" / "labels" / well.plate / f"{well.well}_s{site}"
        for compartment, image in (("cells", cells), ("nuclei", nuclei)):
            tifffile.imwrite(f"{labels}_{compartment}.tif", image, compression="deflate")

        key = {"Metadata_Plate": well.plate, "Metadata_Well": well.well, "Metadata_Site": site}
        table = table.assign(**key, Compound=well.compound)
        columns = [*key, "Metadata_CellID", "Phenotype", "CentroidX", "CentroidY", "Compound"]
        tables.append(table[columns])
    return pd.concat(tables, ignore_index=True)


def _field(well, optics, factors, kinds, size, rng):
    """Images of a field, its label images and its cells (none where the field is blank)."""
    extent = size + 2 * PAD
    light, cells, nuclei, population = paint_field(extent, well.phenotype, well.penetrance, well.survival, rng)
    if "blank" in kinds:
        light, cells, nuclei = np.zeros_like(light), np.zeros_like(cells), np.zeros_like(nuclei)
    defocus = DEFOCUS_SIGMA if "out_of_focus" in kinds else 0.0
    images = [
        photograph(stain, channel, optics[channel], factor, rng, PAD, defocus)
        for stain, channel, factor in zip(light, CHANNELS, factors)
    ]
    inner = np.s_[PAD : PAD + size, PAD : PAD + size]
    return images, *_truth(cells[inner], nuclei[inner], population)


def _truth(cells, nuclei, population):
    """Renumber the cells whose nucleus is in the field; labels, and a row a label."""
    area = np.bincount(nuclei.ravel(), minlength=len(population) + 1)
    area[0] = 0
    kept = np.flatnonzero(area >= SMALLEST_NUCLEUS)
    number = np.zeros(len(area), np.uint16)
    number[kept] = np.arange(1, len(kept) + 1)
    y, x = np.nonzero(nuclei)
    label = nuclei[y, x]
    table = pd.DataFrame(
        {
            "Metadata_CellID": np.arange(1, len(kept) + 1),
            "Phenotype": population["Phenotype"].to_numpy(str)[kept - 1],
            "CentroidX": np.bincount(label, x, len(area))[kept] / area[kept],
            "CentroidY": np.bincount(label, y, len(area))[kept] / area[kept],
        }
    )
    return number[cells], number[nuclei], table


def _write_image(path, image, kind):
    """Write an image, or what is left of it."""
    if kind == "missing":
        path.unlink(missing_ok=True)
        return
    tifffile.imwrite(path, image, compression="lzw")
    if kind == "truncated":
        data = path.read_bytes()
        path.write_bytes(data[: int(TRUNCATED_SHARE * len(data))])
