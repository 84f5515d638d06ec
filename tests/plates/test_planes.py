import pandas as pd
import pytest

from profiling.errors import ProfilingError
from profiling.plates.planes import select_planes
from profiling.plates.readers import as_images


def images(*rows):
    """Rows of (channel, z) or (channel, z, "projection"), all of one field."""
    return as_images(
        [
            {
                "Metadata_Well": "A1",
                "Metadata_Site": 1,
                "Metadata_Time": 0,
                "Metadata_Z": z,
                "Metadata_Channel": channel,
                "Path": f"{channel}{z}{''.join(more)}",
                "Projection": bool(more),
            }
            for channel, z, *more in rows
        ]
    )


STACK = [("DNA", z) for z in (1, 2, 3)]
MIXED = images(*STACK, ("DNA", 0, "projection"), ("Actin", 2))


def chosen(table):
    return sorted(table[["Metadata_Channel", "Metadata_Z", "Path"]].itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("z", "expected"),
    [
        (3, [("Actin", 3, "Actin2"), ("DNA", 3, "DNA3")]),
        ("projection", [("Actin", 0, "Actin2"), ("DNA", 0, "DNA0projection")]),
        ("all", [(c, z, p) for z in (1, 2, 3) for c, p in (("Actin", "Actin2"), ("DNA", f"DNA{z}"))]),
        ("maximum", [("Actin", 2, "Actin2"), *(("DNA", z, f"DNA{z}") for z in (1, 2, 3))]),
        ("focus", [("Actin", 2, "Actin2"), *(("DNA", z, f"DNA{z}") for z in (1, 2, 3))]),
    ],
)
def test_a_stack_beside_a_channel_with_one_plane(z, expected):
    assert chosen(select_planes(MIXED, z)) == sorted(expected)


def test_a_stack_that_nobody_decided_about_is_an_error_that_names_the_planes():
    with pytest.raises(ProfilingError, match=r"stacks of planes \(1, 2, 3\); say in images.z"):
        select_planes(MIXED)


@pytest.mark.parametrize("z", [None, "all", "maximum", "focus", "projection"])
def test_without_stacks_every_setting_takes_what_there_is(z):
    single = images(("DNA", 4), ("DNA", 0, "projection"), ("Actin", 4))
    assert chosen(select_planes(single, z)) == [("Actin", 4, "Actin4"), ("DNA", 4, "DNA4")]


def test_what_is_left_of_a_stack_is_not_every_plane():
    wells = [images(*STACK).assign(Metadata_Well=well) for well in ("A1", "A2")]
    table = pd.concat([*wells, images(("DNA", 1)).assign(Metadata_Well="A3")], ignore_index=True)
    assert select_planes(table, 3)["Metadata_Well"].tolist() == ["A1", "A2"]
    of_third = select_planes(table, "all").query("Metadata_Well == 'A3'")
    assert of_third["Metadata_Z"].tolist() == [1]


def test_the_number_of_the_only_plane_must_be_the_one_that_is_asked_for():
    assert select_planes(images(("DNA", 0)), 5)["Metadata_Z"].tolist() == [5]
    assert select_planes(images(("DNA", 2)), 2)["Metadata_Z"].tolist() == [2]
    with pytest.raises(ProfilingError, match=r"no plane 5 \(images.z\) but 2"):
        select_planes(images(("DNA", 2)), 5)


@pytest.mark.parametrize(("z", "said"), [(9, "no plane 9 .images.z. but 1, 2, 3"), ("projection", "no projections")])
def test_a_plane_that_is_not_there(z, said):
    with pytest.raises(ProfilingError, match=said):
        select_planes(images(*STACK), z)


def test_one_time_point():
    series = pd.concat([images(("DNA", 1)).assign(Metadata_Time=t) for t in (1, 2)], ignore_index=True)
    assert select_planes(series)["Metadata_Time"].tolist() == [1, 2]
    assert select_planes(series, time=2)["Metadata_Time"].tolist() == [2]
    with pytest.raises(ProfilingError, match=r"no time point 3 \(images.time\) but 1, 2"):
        select_planes(series, time=3)
