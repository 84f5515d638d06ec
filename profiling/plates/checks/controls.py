"""Plate maps against the wells that have images."""

from profiling.plates.checks.findings import counted, say_wells
from profiling.settings import ROLES


def one_sided_wells(wells):
    """Wells that stand only in the plate map or only in the images.

    Parameters
    ----------
    wells : pandas.DataFrame
        The platemaps table of the plate, which has a plate map.
    """
    said = []
    for here, there, what, remedy in (
        ("Imaged", "Mapped", "wells with images but no row in the plate map", "add them to the plate map"),
        ("Mapped", "Imaged", "wells of the plate map without images", "find their images, or correct the plate map"),
    ):
        names = wells.loc[wells[here] & ~wells[there], "Metadata_Well"]
        if len(names):
            said.append(("warning", what, f"{counted(len(names), 'well')}: {say_wells(names)}", remedy))
    return said


def unknown_roles(wells):
    """Roles that no test knows."""
    roles = wells["Metadata_Role"].dropna()
    return [
        (
            "warning",
            f"the role {role!r} is in no test",
            say_wells(wells.loc[wells["Metadata_Role"].eq(role), "Metadata_Well"]),
            "give it a known one in platemap.roles",
        )
        for role in sorted(set(roles) - set(ROLES))
    ]


def few_controls(wells, normalisation, has_map):
    """Whether the plate has the negative controls that it is normalised against.

    Parameters
    ----------
    wells : pandas.DataFrame
        The platemaps table without the wells that are left out.
    normalisation : profiling.settings.Normalisation
    has_map : bool
        Whether the plate has a plate map.
    """
    if normalisation.reference != "negative_control":
        return []
    or_all = "or set normalisation.reference to all"
    if not has_map:
        what = "no plate map, hence no negative control to normalise against"
        return [("error", what, "", f"name one in the plate table, {or_all}")]
    found = wells.loc[wells["Imaged"] & wells["Metadata_Role"].eq("negative_control"), "Metadata_Well"]
    if found.empty:
        what = "no well with images is a negative control, which normalisation needs"
        return [("error", what, "", f"name the control in the plate map's roles or in platemap.roles, {or_all}")]
    if len(found) < normalisation.minimum_wells:
        what = f"fewer negative controls than normalisation.minimum_wells ({normalisation.minimum_wells})"
        return [("error", what, say_wells(found), f"lower it, correct the roles, {or_all}; else the plate is left out")]
    return []
