"""What stands in which well of the demo screen, and what can go wrong with its images."""

from string import ascii_uppercase

import numpy as np
import pandas as pd

CHANNELS = ("DNA", "Actin", "Reporter")

# Names a screener knows, so that the demo's hits explain themselves; the images are simulated.
TREATMENTS = {
    "staurosporine": ("condensed", (0.1, 0.3, 1.0)),
    "barasertib": ("multinucleate", (0.05, 0.2, 0.8)),
    "cytochalasin D": ("texture", (0.2, 0.6, 2.0)),
    "LY294002": ("translocated", (5.0, 15.0, 45.0)),
    "nocodazole": ("mitotic", (0.03, 0.1, 0.3)),
    "cycloheximide": ("normal", (1.0, 5.0, 25.0)),  # cell loss: fewer cells, each of them normal
}
NEGATIVE_CONTROL = "DMSO"
POSITIVE_CONTROL = ("wortmannin", "translocated", 0.25)
PENETRANCE = (0.6, 0.85, 0.95)
SURVIVAL_OF_CELL_LOSS = (0.75, 0.5, 0.3)
TROUBLE_COLUMNS = ("plate", "well", "site", "channel", "kind")


def well_name(row, column):
    """Name of the well in a row and column counted from 0: ``well_name(0, 0) == "A01"``."""
    return f"{ascii_uppercase[row]}{column + 1:02d}"


def _spread(wells, count, shift):
    """`count` wells evenly spaced along `wells`, moved on by `shift`."""
    return [wells[(shift + k * len(wells) // count) % len(wells)] for k in range(count)]


def _control_wells(rows, columns, plate_index):
    """Wells of the negative and positive controls, each half in the outer and half in the inner columns."""

    def snake(of_columns):
        return [well_name(r if i % 2 == 0 else rows - 1 - r, c) for i, c in enumerate(of_columns) for r in range(rows)]

    negative, positive = [], []
    n_negative, n_positive = max(2, rows * columns // 6), max(1, rows * columns // 12)
    halves = ([0, columns - 1], range(1, columns - 1))
    for half, of_columns in enumerate(halves):
        n_neg, n_pos = (n_negative + half) // 2, (n_positive + half) // 2
        wells = _spread(snake(of_columns), n_neg + n_pos, 2 * half + plate_index)
        of_positive = {(k * 2 + 1) * len(wells) // (2 * n_pos) for k in range(n_pos)}
        positive += [well for i, well in enumerate(wells) if i in of_positive]
        negative += [well for i, well in enumerate(wells) if i not in of_positive]
    return negative, positive


def plate_map(plates, rows, columns, seed):
    """Lay out the screen: controls at fixed places that differ between plates, treatments shuffled.

    Parameters
    ----------
    plates : sequence of str
        Plate names.
    rows, columns : int
        Layout of a plate, at least 2 rows, 3 columns and 6 wells; at most 26 rows.
    seed : int
        Shuffles the treatment wells.

    Returns
    -------
    DataFrame
        A row a well, sorted by plate and well: `plate`, `well`, `compound`, `concentration` (uM, NaN for
        the negative control), `unit`, `role` and what the simulator alone knows: `phenotype`,
        `penetrance` (share of cells that show it) and `survival` (share of cells left).

    Raises
    ------
    ValueError
        The layout is too small for controls in outer and inner columns, or has more than 26 rows.
    """
    if not (2 <= rows <= 26 and columns >= 3):
        raise ValueError(f"the demo needs 2 to 26 rows and 3 or more columns, not {rows} x {columns}")
    # Highest doses first, so that a plate too small for all doses still shows every phenotype.
    doses = [
        (compound, values[dose], "uM", "treatment", phenotype)
        + ((0.0, SURVIVAL_OF_CELL_LOSS[dose]) if phenotype == "normal" else (PENETRANCE[dose], 1.0))
        for dose in (2, 1, 0)
        for compound, (phenotype, values) in TREATMENTS.items()
    ]
    dmso = (NEGATIVE_CONTROL, np.nan, "", "negative_control", "normal", 0.0, 1.0)
    compound, phenotype, concentration = POSITIVE_CONTROL
    reference = (compound, concentration, "uM", "positive_control", phenotype, PENETRANCE[-1], 1.0)

    table = []
    for index, plate in enumerate(plates):
        negative, positive = _control_wells(rows, columns, index)
        content = dict.fromkeys(negative, dmso) | dict.fromkeys(positive, reference)
        wells = [well_name(r, c) for r in range(rows) for c in range(columns)]
        free = [well for well in wells if well not in content]
        order = np.random.default_rng([seed, index, 1]).permutation(len(free))
        content |= {free[place]: doses[i % len(doses)] for i, place in enumerate(order)}
        table += [(plate, well, *content[well]) for well in wells]
    columns = "plate well compound concentration unit role phenotype penetrance survival".split()
    return pd.DataFrame(table, columns=columns)


def plan_trouble(layout, sites, seed):
    """Choose the images of the last plate that go wrong, each in another treatment well.

    Parameters
    ----------
    layout : DataFrame
        From `plate_map`.
    sites : int
        Sites a well.
    seed : int
        Chooses wells, sites and channels.

    Returns
    -------
    DataFrame
        `plate`, `well`, `site` (Int64), `channel`, `kind`: a row an image for `truncated`, `missing`,
        `out_of_focus` and `blank` (all channels of a field), one row with empty site and channel for
        `map_only`.

    Raises
    ------
    ValueError
        The last plate has fewer than five treatment wells.
    """
    last = layout[(layout["plate"] == layout["plate"].iloc[-1]) & (layout["role"] == "treatment")]
    if len(last) < 5:
        raise ValueError(f"trouble needs five treatment wells on a plate, this layout has {len(last)}")
    rng = np.random.default_rng([seed, 2])
    wells = rng.choice(last["well"].to_numpy(str), 5, replace=False)
    plate, rows = last["plate"].iloc[0], []
    for well, kind in zip(wells, ("truncated", "missing", "out_of_focus", "blank", "map_only")):
        site, channel = int(rng.integers(1, sites + 1)), str(rng.choice(CHANNELS))
        if kind == "map_only":
            site, channels = pd.NA, [""]
        else:
            channels = [channel] if kind in ("truncated", "missing") else CHANNELS
        rows += [(plate, str(well), site, channel, kind) for channel in channels]
    table = pd.DataFrame(rows, columns=list(TROUBLE_COLUMNS))
    return table.astype({"site": "Int64"}).sort_values(["well", "site"], kind="stable", ignore_index=True)
