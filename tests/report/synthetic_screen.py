"""A small synthetic screen: the tables of two plates of 24 wells, without an image."""

import json

import cv2
import numpy as np
import pandas as pd

from profiling.config import Config
from profiling.plates.wells import plate_wells
from profiling.schemas import TABLES
from profiling.tables import CELL_KEY, FIELD_KEY, write_table

PLATES = ["00123", "P-2"]
CHANNELS = ["DNA", "Actin"]
HOSTILE = "<script>alert(1)</script>"
COMPOUNDS = ["DMSO", HOSTILE, "taxol", "staurosporine $x$"]
K = 4
CELLS_PER_WELL = 12


def _wells(plate, mapped):
    """Wells A01 to D05 are imaged; the last column is not."""
    names = [well for well in plate_wells(24) if not well.endswith("06")]
    wells = pd.DataFrame({"Metadata_Plate": plate, "Metadata_Well": names, "Metadata_Batch": plate})
    compound = np.array(COMPOUNDS)[np.arange(len(names)) % len(COMPOUNDS)]
    control = compound == "DMSO"
    wells["Metadata_Compound"] = compound
    wells["Metadata_Concentration"] = np.where(control, np.nan, 1.0)
    wells["Metadata_Unit"] = np.where(control, None, "uM")
    wells["Metadata_Role"] = np.where(control, "negative_control", "treatment")
    wells["Metadata_Treatment"] = np.where(control, "DMSO", compound + "@1 uM")
    if not mapped:
        wells[[c for c in wells if c not in ("Metadata_Plate", "Metadata_Well", "Metadata_Batch")]] = None
    return wells


def _cells(wells, rng):
    cells = wells.loc[wells.index.repeat(CELLS_PER_WELL)].reset_index(drop=True)
    cells["Metadata_Site"], cells["Metadata_Time"], cells["Metadata_Z"] = 1, 0, 0
    cells["Metadata_CellID"] = cells.groupby("Metadata_Well").cumcount() + 1
    cells["Cluster"] = rng.integers(1, K + 1, len(cells)).astype("int16")
    cells["ClusterDistance"] = rng.gamma(3, 1, len(cells)).astype("float32")
    on_map = rng.random(len(cells)) < 0.8
    for axis in ("Map_1", "Map_2"):
        cells[axis] = np.where(on_map, cells["Cluster"] * 3 + rng.normal(size=len(cells)), np.nan)
    return cells


def _picture(rng):
    return cv2.imencode(".webp", rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))[1].tobytes()


def _images(wells):
    fields = wells[["Metadata_Plate", "Metadata_Well"]].assign(Metadata_Site=1, Metadata_Time=0, Metadata_Z=0)
    images = fields.merge(pd.DataFrame({"Metadata_Channel": CHANNELS}), how="cross")
    lost = (images["Metadata_Well"] == "A01") & (images["Metadata_Channel"] == "Actin")
    return images.assign(Status=np.where(lost, "missing", "ok"), Reason=np.where(lost, "no file", None))


def _overlays(fields):
    """A01 in the corner, the two lowest scores in their order, and a field without a picture."""
    rows = fields.iloc[[0, 5, -2, -1]].assign(Chosen=["corner well", "not segmented", "lowest score", "lowest score"])
    rows["Reason"] = pd.Series([None, f"no {HOSTILE}", None, None], rows.index, object)
    png = cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes()
    rows["Picture"] = pd.Series([png, None, png, png], rows.index, object)
    return rows[[column.name for column in TABLES["overlays"].columns]]


def _fill(name, rows):
    """Give the rows all columns of the table, null where they have none."""
    rows = rows.copy()
    for column in TABLES[name].columns:
        if not column.pattern and column.name not in rows:
            rows[column.name] = pd.Series(None, index=rows.index, dtype="object")
    fixed = [column.name for column in TABLES[name].columns if not column.pattern]
    return rows[fixed + [c for c in rows if c.startswith(("ClusterShare_", "PC_"))]]


def write_screen(results, plates=PLATES, cells_per_well=True, mapped=True):
    """Write the tables that the report reads."""
    rng = np.random.default_rng(0)
    all_wells = []
    for plate in plates:
        wells = _wells(plate, mapped)
        cells = _cells(wells, rng)
        cells = cells if cells_per_well else cells.head(0)
        images = _images(wells)
        quality = images.assign(
            FocusScore=rng.gamma(4, 1, len(images)), Background=100.0, Noise=3.0, SaturatedFraction=0.0
        )
        flags = images.assign(
            Flags=np.where(images["Status"] == "missing", "lost", None),
            Detail=None,
            Excluded=images["Status"] != "ok",
        )
        flags.loc[flags.index[4:6], "Flags"] = "out of focus; saturated"
        flags.loc[flags.index[-2], "Flags"] = "blank; segmentation"
        limits = pd.DataFrame({"Metadata_Plate": plate, "Metadata_Channel": CHANNELS, "Low": 3.0, "High": 900.0})
        limits = limits.assign(DarkOffset=99.0, FlatFieldFields=0, LimitFields=20, Reason="20 fields are too few")
        fields = images.drop_duplicates(FIELD_KEY).assign(
            Segmented=True, CellCount=CELLS_PER_WELL if cells_per_well else 0, Reason=None,
            SegmentationScore=np.linspace(0.9, 0.1, len(wells)) if cells_per_well else np.nan,
        )  # fmt: skip
        thumbnails = cells[CELL_KEY].iloc[::3].copy()
        thumbnails["Thumbnail"] = pd.Series([_picture(rng) for _ in thumbnails.index], thumbnails.index, object)
        embeddings = cells[CELL_KEY]
        tables = {"images": images, "quality": quality, "flags": flags, "limits": limits, "fields": fields}
        tables |= {"phenotypes": cells, "thumbnails": thumbnails, "embeddings": embeddings}
        tables["overlays"] = _overlays(fields)
        for name, rows in tables.items():
            path = results / name / f"{plate}.parquet"
            write_table(path, name, rows if name in ("thumbnails", "embeddings", "overlays") else _fill(name, rows))
        counts = np.full(len(wells), CELLS_PER_WELL if cells_per_well else 0)
        wells = wells.assign(Metadata_Fields=1, Metadata_CellCount=counts, Metadata_ProfiledCells=counts)
        wells["FewCells"] = counts < 10
        shares = rng.dirichlet(np.ones(K), len(wells)) * (1.0 if cells_per_well else np.nan)
        wells[[f"ClusterShare_{c:02d}" for c in range(1, K + 1)]] = shares
        all_wells.append(wells)
    wells = pd.concat(all_wells, ignore_index=True)
    write_table(results / "wells.parquet", "wells", _fill("wells", wells))
    _write_tests(results, plates, mapped and cells_per_well)


def _write_tests(results, plates, tested):
    treated = pd.DataFrame({"Metadata_Compound": COMPOUNDS[1:]})
    number = len(treated)
    activity = treated.assign(
        Metadata_Treatment=treated["Metadata_Compound"] + "@1 uM", Metadata_Concentration=1.0,
        Metadata_Unit="uM", Metadata_Role="treatment",
        Replicates=10, ControlWells=10, ControlDistance=np.linspace(1, 9, number),
        ReplicateVariance=1.2, PValue=0.01, QValue=np.linspace(0.2, 0.01, number), AttainablePValue=1e-4,
    )  # fmt: skip
    activity["Active"] = activity["QValue"] < 0.05
    enrichment = treated.merge(pd.DataFrame({"Cluster": range(1, K + 1)}), how="cross").assign(
        Wells=10, ControlWells=10, Share=0.4, ControlShare=0.1, Log2Enrichment=2.0, PValue=0.01,
        QValue=lambda rows: np.where(rows["Cluster"] == 1, 0.01, 0.6), AttainablePValue=1e-4,
    )  # fmt: skip
    value = 0.5 if tested else np.nan
    variance = pd.DataFrame({"Variant": ["all replicates", "other positions"]}).assign(
        Within=1.0, Between=2.0, Ratio=value, NullMedian=1.5 * value, NullLow=value, NullHigh=3 * value,
        PValue=value, AttainablePValue=0.001, Permutations=999, Treatments=number, Wells=20,
    )  # fmt: skip
    ks = pd.DataFrame({"K": [2, K, 8]}).merge(pd.DataFrame({"Seed": [0, 1]}), how="cross")
    clusters = ks.assign(
        Silhouette=0.2, Stability=0.9, Inertia=40.0, PlateAssociation=0.05 if len(plates) > 1 else np.nan
    )
    failures = pd.DataFrame(
        [
            (plates[0], "A01", 1, "Actin", "images", None, "no file <b>here</b>", "find the file"),
            (plates[0], "A01", 1, None, "segmentation", None, "no Actin image", "restore the image"),
            (plates[-1], "B02", 1, None, "features", 7, "touches border", "change the limits"),
        ],
        columns=[
            "Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Channel", "Stage", "Cells",
            "Reason", "Remedy",
        ],
    )  # fmt: skip
    if not tested:
        activity, enrichment, failures, clusters = (t.head(0) for t in (activity, enrichment, failures, clusters))
    tables = {"activity": activity, "enrichment": enrichment, "variance": variance}
    for name, rows in (tables | {"clusters": clusters, "failures": failures}).items():
        write_table(results / f"{name}.parquet", name, _fill(name, rows))


def write_config(results, plates=PLATES):
    """Write the configuration and what is recorded of the backbone."""
    rows = [{"plate": plate, "images": plate, "layout": 24} for plate in plates]
    config = Config(plates=rows, channels=CHANNELS, clusters={"k": K})
    (results / "models").mkdir(parents=True, exist_ok=True)
    (results / "config.json").write_text(config.model_dump_json())
    (results / "models" / "backbone.json").write_text(json.dumps({"name": "a net", "sha256": "ab" * 32}))


def write_logs(logs):
    """Write benchmark files: a stage with two jobs in folders, one stage with a file of its own."""
    header = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    for name, seconds, memory in (("segment/P/1", 60, 900), ("segment/P/2", 90, 1200), ("map", 30, "NA")):
        path = logs / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{header}{seconds}\t0:01:00\t{memory}\t-\t-\t-\t0\t0\t90\t50\n")
