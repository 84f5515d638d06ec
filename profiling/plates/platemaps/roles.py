"""Roles of wells: negative control, positive control, treatment, empty."""

import re

import pandas as pd

from profiling.errors import ProfilingError

ROLE_NAMES = {
    "negative_control": (
        "negative_control", "negcon", "negative", "neg", "neg_control", "neg_ctrl", "nc", "dmso", "vehicle", "control",
        "ctrl", "vehicle_control", "solvent_control", "ctl_vehicle", "ctl_untrt", "untreated", "mock",
    ),
    "positive_control": (
        "positive_control", "poscon", "positive", "pos", "pos_control", "pos_ctrl", "pc", "poscon_cp", "poscon_diverse",
        "poscon_orf", "trt_poscon",
    ),
    "treatment": ("treatment", "treated", "trt", "trt_cp", "sample", "compound", "test", "test_compound"),
    "empty": ("empty", "blank", "none", "unused"),
}  # fmt: skip
"""What plate maps write for each role, in lower case; spaces and dashes are underscores."""

_KNOWN = {alias: role for role, aliases in ROLE_NAMES.items() for alias in aliases}
NEGATIVE_COMPOUNDS = ("dmso", "vehicle")
NO_COMPOUNDS = ("empty", "blank")
_MISSING = ("", "na", "n/a", "nan", "-")


def assign_roles(values, columns, compounds, settings, where):
    """Role of each well.

    The first of these that says one: ``role_rules``, the names in ``roles``, the role columns (the first that says
    anything, in its usual words), and the compound: DMSO and vehicle are negative controls, none is empty.

    Parameters
    ----------
    values : pandas.DataFrame
        Wells of the map, every cell a string.
    columns : dict of str to list of str
        Recognised columns.
    compounds : pandas.Series
        Compound of each well, null for none.
    settings : profiling.settings.PlateMap
        Rules and names.
    where : str
        File and sheet, for messages.

    Returns
    -------
    pandas.Series of str
        One of :data:`ROLE_NAMES`, or the map's own word where it is unknown.

    Raises
    ------
    ProfilingError
        If a rule names a column that is not there.
    """
    written = pd.Series("", index=values.index, dtype="str")
    for column in columns.get("role", ()):
        texts = values[column]
        written = written.where(written.ne(""), texts.where(~texts.str.lower().isin(_MISSING), ""))
    roles = [
        _by_names(compound if isinstance(compound, str) else None, role, settings.roles)
        for compound, role in zip(compounds, written, strict=True)
    ]
    roles = pd.Series(roles, index=values.index, dtype="str")
    for number, rule in reversed(list(enumerate(settings.role_rules, start=1))):
        roles = roles.mask(_fits(values, columns, rule, number, where), rule.role)
    return roles


def _by_names(compound, role, named):
    if given := named.get(compound) or named.get(role):
        return given
    if role:
        return _KNOWN.get(re.sub(r"[\s-]+", "_", role.lower()), role)
    if compound is None or compound.lower() in NO_COMPOUNDS:
        return "empty"
    return "negative_control" if compound.lower() in NEGATIVE_COMPOUNDS else "treatment"


def _fits(values, columns, rule, number, where):
    column = rule.column if rule.column in values.columns else next(iter(columns.get(rule.column, ())), None)
    if column is None:
        raise ProfilingError(
            f"{where}: no column {rule.column!r} (platemap.role_rules, rule {number}); it has "
            f"{', '.join(values.columns)}"
        )
    texts = values[column]
    if rule.empty is not None:
        return texts.eq("") == rule.empty
    if rule.equals is not None:
        return texts.eq(rule.equals)
    expression = re.compile(rule.matches)
    return texts.map(lambda text: bool(expression.search(text))).astype(bool)
