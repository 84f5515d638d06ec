"""Documentation generated from the schemas and the settings, so that it cannot fall behind them."""

import json
from pathlib import Path

from profiling.cells.learned.training_settings import Source, Training
from profiling.cells.measure import COMPARTMENTS, INTENSITIES, LOCATION, SHAPES
from profiling.config import RULES, SECTIONS, Config, Plate, json_schema
from profiling.errors import ProfilingError
from profiling.files import whole_file
from profiling.schemas import TABLES

ARROW_NAMES = {"float": "float32", "double": "float64", "None": "fixed-size list of float16 or float32"}
"""Types that NumPy, pandas and polars call otherwise."""

EXAMPLES = {
    "pandas": """\
import numpy as np
import pandas as pd

cells = pd.read_parquet("results/cells")
embeddings = pd.read_parquet("results/embeddings")
matrix = np.stack(embeddings["Embedding_DNA"]).astype("float32")  # (cells, features)
""",
    "polars": """\
import polars as pl

cells = pl.scan_parquet("results/cells/*.parquet").filter(pl.col("Embedded")).collect()
embeddings = pl.read_parquet("results/embeddings/*.parquet")
matrix = embeddings["Embedding_DNA"].to_numpy().astype("float32")
""",
    "DuckDB": """\
import duckdb
import numpy as np

cells = duckdb.sql(
    \"\"\"
    select Metadata_Plate, Metadata_Well, count(*) as cells
    from 'results/cells/*.parquet' where Embedded group by all order by all
    \"\"\"
).df()
embeddings = duckdb.sql("select * from 'results/embeddings/*.parquet'")
matrix = np.stack(embeddings.fetchnumpy()["Embedding_DNA"])
""",
    "this package": """\
from profiling.tables import read_cells, read_embeddings

cells = read_cells("results", columns=["Metadata_Plate", "Metadata_Well", "Embedded"])
keys, matrix = read_embeddings("results", channels=["DNA"])
""",
}
"""Ways to open a folder of tables; each is run as it stands by the tests."""


TABLES_INTRO = """\
# Tables

Every table is a Parquet file under `results/`, and a folder holds one file a plate. Rows are sorted by
the key of the table, a key stands once, and in tables of cells each well is a row group. The file
metadata entry `profiling` is a JSON object with the versions of schema and package and the settings that
the table was made with.

A column in *italics* stands for all columns of its form: one a channel, component or cluster.

With `unit: field` or `tile` the tables are the same, and a field or tile stands wherever one says cell:
`Metadata_CellID` is 1 or the number of the tile, `CellCount` counts fields or tiles, flags and measurements
of nuclei are absent or null, and there are no overlays.

With frozen `models`, `clusters` is the table of the screen that they were fitted on.

## Opening them

A whole folder opens at once, without this package, and plates stay strings (`00123`, `1E10`). An
embedding is one list a cell and channel; a column of them becomes a matrix of cells and features as
shown."""

MEASUREMENTS_INTRO = """\
## measurements

Shapes and intensities of the cells table, as CellProfiler's MeasureObjectSizeShape and MeasureObjectIntensity have
them, each of `Nuclei`, `Cells` and `Cytoplasm` (the cell without any nucleus) where no other parts are named.
Intensities are grey values as stored, less the camera's offset (`DarkOffset` of the [limits](#limits)) and divided by
the flat field; the background of the specimen is not taken off."""

LABELS = """\
## labels

`results/labels/{plate}/{chunk}/{well}.tif` holds the masks of a well, deflated uint32: two pages a field, nuclei and
then cells, a page's description being JSON with `Plate`, `Well`, `Site`, `Time`, `Z` and `Compartment` (`Nuclei` or
`Cells`). The value of a pixel is `Metadata_CellID`, 0 is background; a nucleus and its cell have the same number.
`profiling.cells.jobs.read_labels(path, site, "Nuclei")` gives one page."""

CONFIG_INTRO = """\
# Configuration

One YAML file describes a screen; `config.yaml` here is the demo. What is left out has its default, and
nothing is inherited from the demo. An unknown key is an error that names the nearest one. Editors that
know JSON schemas complete and check the file by `schema.json`.

A length is written with its unit, `24 px` or `15 um`; a bare number is pixels. Lengths in um need
`images.pixel_size`.

## What an edit reruns

An edit reruns the rules named with its key or section, the rules that use what they make, and the report,
which shows the configuration. A default that is written down and the order of keys change nothing.
`snakemake --dry-run` lists the jobs before they run.

Two exceptions: an edit of `images.pixel_size` reruns only the sections that give a length in um, and
images added to a folder are noticed by `profiling rescan PLATE`, not by the next start.

## Top level"""

TRAINING_INTRO = """\
# Training the nucleus network

The weights of `engine: nuclei` come with the installation. Where they fail on your images, train them further on
some of your own fields, or train new ones:

    profiling train-segmenter training.yaml --out trained

A folder of annotated fields holds `images/NAME` and `labels/NAME` (PNG or TIFF): nuclei in grey values, bright on
dark, and label images with a number a nucleus and 0 for background. A few dozen fields with `start: shipped` and
1,000 steps are a beginning. A run that was stopped goes on when the command is given again. It ends with
`trained/nuclei.safetensors`, which `segmentation.weights` takes, and `trained/log.csv` with the average precision
on the groups that were held out. [nuclei.yaml](nuclei.yaml) is how the shipped weights were made; what they can
do is in [their card](../../profiling/cells/learned/nuclei.md)."""

PLATES_INTRO = """\
Every further top-level key is one of the sections below.

## Plate table

`plates` names a TSV (CSV by its suffix) with one row a plate and these columns. Values are read as text;
a column that has a default may be left out, and wells to exclude are separated by spaces or commas. The
same rows may stand in the configuration as a list."""


def write_docs(root, check=False):
    """Write the generated files, or only compare them.

    Parameters
    ----------
    root : str or Path
        Top folder of the repository.
    check : bool
        Write nothing and raise where a file differs from what would be written.

    Returns
    -------
    list of str
        Files that were out of date, relative to `root`.

    Raises
    ------
    ProfilingError
        With `check`, if a file is absent or out of date; the message names it and the remedy.
    """
    root = Path(root)
    pages = {
        "docs/tables.md": tables_page(),
        "config/README.md": config_page(),
        "config/training/README.md": training_page(),
        "config/schema.json": json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n",
    }
    stale = [name for name, text in pages.items() if _read(root / name) != text]
    if check and stale:
        raise ProfilingError(f"out of date: {', '.join(stale)}; run `profiling docs` and commit them")
    for name in stale:
        with whole_file(root / name) as temporary:
            temporary.write_text(pages[name], encoding="utf-8")
    return stale


def _read(path):
    return path.read_text(encoding="utf-8") if path.is_file() else None


def tables_page():
    """Markdown of docs/tables.md: every table, its key, its columns, and how to open it."""
    parts = [
        TABLES_INTRO,
        *(f"With {name}:\n\n```python\n{code}```" for name, code in EXAMPLES.items()),
        "## Contents",
        "\n".join(f"- [`{spec.path}`](#{name}): {spec.row}" for name, spec in TABLES.items()),
        *(_table_section(name, spec) for name, spec in TABLES.items()),
        MEASUREMENTS_INTRO,
        _measurements(),
        LABELS,
    ]
    return "\n\n".join(parts) + "\n"


def _measurements():
    rows = [("`Nuclei_Location_CenterX`, `…CenterY`", LOCATION)]
    for group, features in (("AreaShape", SHAPES), ("Intensity", INTENSITIES)):
        channel = "_<Channel>" if group == "Intensity" else ""
        for feature, meaning in features.items():
            parts = [part for part, names in COMPARTMENTS.items() if feature in (*names[0], *names[1])]
            place = "" if len(parts) == len(COMPARTMENTS) else f"{', '.join(parts)}: "
            rows.append((f"`…_{group}_{feature}{channel}`", place + meaning))
    return _markdown_table(("Column", "Meaning"), rows)


def _table_section(name, spec):
    rows = [
        (
            f"*{_escape(column.name)}*" if column.pattern else f"`{column.name}`",
            _arrow(column.type),
            column.description,
        )
        for column in spec.columns
    ]
    return "\n\n".join(
        [
            f"## {name}",
            f"`results/{spec.path}`. A row: {spec.row}.",
            f"Key: {_code_list(spec.key)}." + (" A row group is a well." if spec.group_by_well else ""),
            _markdown_table(("Column", "Type", "Meaning"), rows),
        ]
    )


def _arrow(kind):
    return ARROW_NAMES.get(str(kind), str(kind))


def config_page():
    """Markdown of config/README.md: every key, its type, its default, its effect and what its edit reruns."""
    schema = json_schema()
    top = [key for key in Config.model_fields if key not in SECTIONS]
    parts = [
        CONFIG_INTRO,
        _settings_table(Config, top, schema, [_code_list(RULES[key]) or "the plates that changed" for key in top]),
        PLATES_INTRO,
        _settings_table(Plate, Plate.model_fields, schema["$defs"]["Plate"]),
        *(_config_section(name, model) for name, model in SECTIONS.items()),
    ]
    return "\n\n".join(parts) + "\n"


def training_page():
    """Markdown of config/training/README.md: every key of a training."""
    parts = [TRAINING_INTRO]
    for title, model in {"Keys": Training, "Sources": Source}.items():
        parts += [f"## {title}", _settings_table(model, model.model_fields, model.model_json_schema())]
    return "\n\n".join(parts) + "\n"


def _config_section(name, model):
    return "\n\n".join(
        [
            f"## {name}",
            model.__doc__.strip(),
            f"An edit reruns {_code_list(RULES[name])}.",
            _settings_table(model, model.model_fields, model.model_json_schema()),
        ]
    )


def _settings_table(model, keys, schema, reruns=None):
    rows = []
    for key in keys:
        field = model.model_fields[key]
        rows.append([f"`{key}`", _type(schema["properties"][key]), _default(field), field.description])
    header = ["Key", "Type", "Default", "Effect"]
    if reruns:
        header.append("An edit reruns")
        rows = [[*row, names] for row, names in zip(rows, reruns, strict=True)]
    return _markdown_table(header, rows)


def _default(field):
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _type(schema):
    """A JSON schema's type and range in words."""
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"] if option.get("type") != "null")
    if "$ref" in schema:
        return "rows"
    if schema.get("type") == ["string", "number"]:
        return "length"
    if "const" in schema or "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    if schema["type"] == "object":
        return f"mapping to {_type(schema['additionalProperties'])}"
    name = {"string": "text", "boolean": "`true` or `false`"}.get(schema["type"], schema["type"])
    return f"{name}{_range(schema)}"


def _range(schema):
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    return f" {', '.join(limits)}" if limits else ""


def _code_list(names):
    return ", ".join(f"`{name}`" for name in names)


def _escape(text):
    return text.replace("<", r"\<").replace("_", r"\_").replace("[", r"\[").replace("]", r"\]")


def _markdown_table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
