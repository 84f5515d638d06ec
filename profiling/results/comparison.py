"""How two tables of the same kind differ: rows by key, numbers by their spread. Memory holds a well at a time."""

import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from profiling.tables import SPECS

CLUSTER_COLUMN = re.compile(r"ClusterShare_(\d{2})")


@dataclass
class Column:
    """What two tables say in one column, over the rows that both have.

    Attributes
    ----------
    rows, differ : int
        Rows compared, and those that differ.
    largest : float
        Largest difference; NaN where the column has no numbers.
    """

    rows: int = 0
    differ: int = 0
    largest: float = np.nan
    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @property
    def spread(self):
        """Standard deviation of the first table's numbers."""
        return float(np.sqrt(self.squares / self.count)) if self.count else np.nan

    def add_spread(self, numbers):
        """Take finite numbers into the spread (Chan's update of mean and sum of squares)."""
        numbers = numbers[np.isfinite(numbers)]
        if not numbers.size:
            return
        mean, squares = numbers.mean(), ((numbers - numbers.mean()) ** 2).sum()
        total = self.count + numbers.size
        self.squares += squares + (mean - self.mean) ** 2 * self.count * numbers.size / total
        self.mean += (mean - self.mean) * numbers.size / total
        self.count = total


@dataclass
class Comparison:
    """How two tables differ.

    Attributes
    ----------
    rows : list of int
        Rows of each.
    only : list of int
        Rows whose key only the one or the other has.
    columns : dict of Column
        Those that both have.
    only_columns : tuple of set
        Those that only the one or the other has.
    clusters : pandas.Series
        (cluster of the first, of the second) → cells; empty where the table has no clusters.
    """

    rows: list = field(default_factory=lambda: [0, 0])
    only: list = field(default_factory=lambda: [0, 0])
    columns: dict = field(default_factory=dict)
    only_columns: tuple = field(default_factory=lambda: (set(), set()))
    clusters: pd.Series = field(default_factory=lambda: pd.Series(dtype="int64"))


def compare_tables(name, one, other, into=None, renaming=None):
    """Compare two files of a table.

    Parameters
    ----------
    name : str
        A key of :data:`profiling.tables.SPECS`.
    one, other : str or Path
    into : Comparison, optional
        Of other files of the table, to which this one is added.
    renaming : dict of int, optional
        Cluster of the second → that of the first, where they are the same clusters by other numbers.

    Returns
    -------
    Comparison

    Raises
    ------
    OSError, pyarrow.ArrowInvalid
        If a file cannot be read.
    """
    found = into or Comparison()
    key = list(SPECS[name].key)
    with pq.ParquetFile(one) as first, pq.ParquetFile(other) as second:
        names = [set(file.schema_arrow.names) for file in (first, second)]
        if renaming:
            names[1] = {_renamed(column, renaming) for column in names[1]}
        found.only_columns = (found.only_columns[0] | names[0] - names[1], found.only_columns[1] | names[1] - names[0])
        for left, right in _pairs(name, first, second):
            right = _rename(right, renaming) if renaming else right
            _compare_rows(name, key, left, right, found)
    return found


def _pairs(name, first, second):
    """Rows of both files that belong together: a well at a time where row groups are wells."""
    if not SPECS[name].group_by_well:
        yield first.read(), second.read()
        return
    places = [_well_groups(file) for file in (first, second)]
    for well in sorted(places[0].keys() | places[1].keys()):
        parts = []
        for file, groups in zip((first, second), places, strict=True):
            numbers = groups.get(well, [])
            parts.append(file.read_row_groups(numbers) if numbers else file.schema_arrow.empty_table())
        yield tuple(parts)


def _well_groups(file):
    groups = {}
    for number in range(file.num_row_groups):
        well = file.read_row_group(number, columns=["Metadata_Well"])["Metadata_Well"]
        groups.setdefault(well[0].as_py(), []).append(number)
    return groups


def _renamed(column, renaming):
    match = CLUSTER_COLUMN.fullmatch(column)
    return f"ClusterShare_{renaming.get(int(match[1]), int(match[1])):02d}" if match else column


def _rename(table, renaming):
    table = table.rename_columns([_renamed(column, renaming) for column in table.column_names])
    if "Cluster" in table.column_names:
        new = pa.array([renaming.get(value, value) for value in table["Cluster"].to_pylist()], pa.int16())
        table = table.set_column(table.column_names.index("Cluster"), "Cluster", new)
    return table


def _compare_rows(name, key, left, right, found):
    found.rows[0] += left.num_rows
    found.rows[1] += right.num_rows
    if left.select(key).equals(right.select(key)):
        _compare_columns(name, key, left, right, found)
        return
    rows = []
    for number, table in enumerate((left, right)):
        keys = table.select(key).to_pandas().astype("object").where(lambda frame: frame.notna(), "")
        # Failures may list a key twice: its rows are told apart by their order.
        keys["_turn"] = keys.groupby(key).cumcount()
        rows.append(keys.assign(**{f"_row{number}": np.arange(len(keys))}))
    both = rows[0].merge(rows[1], how="outer", on=[*key, "_turn"])
    found.only[0] += int(both["_row1"].isna().sum())
    found.only[1] += int(both["_row0"].isna().sum())
    both = both.dropna(subset=["_row0", "_row1"])
    places = [pa.array(both[f"_row{number}"].to_numpy(dtype="int64")) for number in (0, 1)]
    left, right = (table.take(place) for table, place in zip((left, right), places, strict=True))
    _compare_columns(name, key, left, right, found)


def _compare_columns(name, key, left, right, found):
    """Compare rows that belong together, in the same order."""
    for column in left.column_names:
        if column in right.column_names and column not in key:
            _compare_column(left[column].combine_chunks(), right[column].combine_chunks(),
                            found.columns.setdefault(column, Column()))  # fmt: skip
    if name == "phenotypes":
        pair = pd.DataFrame({"a": left["Cluster"].to_numpy(), "b": right["Cluster"].to_numpy()}).value_counts(
            sort=False
        )
        found.clusters = found.clusters.add(pair, fill_value=0).astype("int64") if len(found.clusters) else pair


def _compare_column(one, other, column):
    column.rows += len(one)
    if one.equals(other):
        numbers = _numbers(one)
        if numbers is not None:
            column.add_spread(numbers.ravel())
        return
    numbers = [_numbers(values) for values in (one, other)]
    if numbers[0] is None or numbers[1] is None or numbers[0].shape != numbers[1].shape:
        texts = [values.to_pylist() for values in (one, other)]
        column.differ += sum(a is not b and a != b for a, b in zip(*texts, strict=True))
        return
    a, b = numbers
    with np.errstate(invalid="ignore"):
        apart = np.abs(a - b)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    differs = ~same.reshape(len(one), -1).all(axis=1) if len(one) else np.zeros(0, bool)
    column.differ += int(differs.sum())
    known = apart[~same & np.isfinite(apart)]
    # A number beside a null has no difference; the row counts as one that differs.
    largest = known.max() if known.size else 0.0
    column.largest = max(largest, 0.0 if np.isnan(column.largest) else column.largest)
    column.add_spread(a.ravel())


def _numbers(values):
    """Numbers or lists of numbers as float64 (rows,) or (rows, length); None for anything else."""
    kind = values.type
    if pa.types.is_fixed_size_list(kind):
        flat = values.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
        return flat.reshape(len(values), -1) if len(values) else flat.reshape(0, kind.list_size)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return values.to_numpy(zero_copy_only=False).astype(np.float64)
    return None


def rand_index(clusters):
    """Adjusted Rand index of two clusterings from the table of both (Hubert and Arabie, 1985).

    Parameters
    ----------
    clusters : pandas.Series
        (cluster of the first, of the second) → cells.

    Returns
    -------
    float
        1 where they are the same up to the clusters' names; NaN without cells.
    """

    def pairs(counts):
        counts = np.asarray(counts, dtype=np.float64)
        return (counts * (counts - 1) / 2).sum()

    if not clusters.sum():
        return np.nan
    both = pairs(clusters)
    first, second = (pairs(clusters.groupby(level=level).sum()) for level in (0, 1))
    chance = first * second / max(pairs([clusters.sum()]), 1)
    largest = (first + second) / 2
    return 1.0 if largest == chance else float((both - chance) / (largest - chance))


def cluster_names(clusters):
    """Cluster of the second → that of the first, where every cluster of one is a cluster of the other; else None."""
    there = clusters[clusters > 0]
    first, second = there.index.get_level_values(0), there.index.get_level_values(1)
    if len(there) == 0 or not (first.is_unique and second.is_unique):
        return None
    return {int(b): int(a) for a, b in zip(first, second, strict=True)}
