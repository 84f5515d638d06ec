import pandas as pd
import pytest

from profiling.images.flags import flag_images
from profiling.settings import Flags
from profiling.tables import FIELD_KEY

CHANNELS = ("DNA", "Actin")


def plate(scores, focus=None):
    """Quality and fields tables of a plate of good images, a well a field, with these segmentation scores."""
    wells = [f"A{number:02d}" for number in range(1, len(scores) + 1)]
    key = dict(Metadata_Plate="00123", Metadata_Site=1, Metadata_Time=0, Metadata_Z=0)
    fields = pd.DataFrame({"Metadata_Well": wells, "SegmentationScore": scores}).assign(**key, CellCount=100)
    quality = fields[FIELD_KEY].merge(pd.DataFrame({"Metadata_Channel": CHANNELS}), how="cross")
    hashes = [str(number) for number in quality.index]
    quality = quality.assign(Status="ok", Reason=None, Contrast=50.0, FocusScore=-2.0, SaturatedFraction=0.0)
    return quality.assign(PixelHash=hashes, Minimum=90.0, Maximum=900.0), fields


def flagged(scores, **settings):
    """Wells and channels flagged for their segmentation, and all flags."""
    flags = flag_images(*plate(scores), "DNA", Flags(**settings))
    found = flags[flags["Flags"].notna()]
    assert found["Flags"].eq("segmentation").all()
    assert found["Metadata_Channel"].eq("DNA").all()
    return found.set_index("Metadata_Well")


def test_low_scores_are_flagged_on_the_nuclei_and_kept():
    found = flagged([0.9, 0.88, 0.93, 0.91, 0.3, 0.9])
    assert found.index.tolist() == ["A05"]
    assert not found["Excluded"].any()
    assert found["Detail"].tolist() == ["segmentation score 0.3 below 0.79"]
    assert flagged([0.9, 0.3], segmentation="exclude")["Excluded"].tolist() == [True]


@pytest.mark.parametrize(
    ("scores", "settings", "expected"),
    [
        ([0.9] * 6 + [0.75], {}, ["A07"]),  # far below its plate
        ([0.9] * 6 + [0.75], {"segmentation_mads": 20}, []),
        ([0.6, 0.7, 0.8, 0.9, 0.65, 0.75], {}, []),  # a plate of all kinds
        ([0.3] * 4, {}, ["A01", "A02", "A03", "A04"]),  # a plate that failed whole
        ([0.3] * 4, {"minimum_segmentation_score": 0.1}, []),
        ([None, 0.9, 0.9], {}, []),  # not segmented: a failure of its own
        ([None, None], {}, []),
    ],
)
def test_absolute_and_relative_limits(scores, settings, expected):
    assert flagged(pd.Series(scores, dtype="float32"), **settings).index.tolist() == expected


def test_empty_fields_do_not_say_what_is_usual():
    quality, fields = plate([1.0] * 9 + [0.7, 0.65, 0.72])
    flags = flag_images(quality, fields.assign(CellCount=[0] * 9 + [200] * 3), "DNA", Flags())
    assert flags["Flags"].isna().all()


def test_copies_are_duplicates_and_dark_markers_are_not():
    quality, fields = plate([0.9] * 4)
    dark = quality["Metadata_Channel"].eq("Actin")
    quality.loc[dark, ["Minimum", "Maximum", "Contrast", "PixelHash"]] = 0.0, 0.0, 0.0, "zeros"
    quality.loc[4, "PixelHash"] = quality.loc[2, "PixelHash"]
    flags = flag_images(quality, fields, "DNA", Flags())
    assert flags.loc[dark, "Flags"].eq("blank").all() and not flags.loc[dark, "Excluded"].any()
    assert flags.loc[[2, 4], "Flags"].eq("duplicate").all() and flags.loc[[2, 4], "Excluded"].all()


def test_a_copy_is_named_by_its_time():
    quality, fields = plate([0.9])
    quality = pd.concat([quality, quality.assign(Metadata_Time=1)], ignore_index=True)
    fields = pd.concat([fields, fields.assign(Metadata_Time=1)], ignore_index=True)
    detail = flag_images(quality, fields, "DNA", Flags())["Detail"].tolist()
    assert detail[0] == "same pixels as A01 site 1 time 1 DNA" and detail[2] == "same pixels as A01 site 1 time 0 DNA"


def test_a_field_that_the_fields_table_lacks_has_no_score():
    quality, fields = plate([0.9, 0.1, 0.9])
    assert flag_images(quality, fields.drop(index=1), "DNA", Flags())["Flags"].isna().all()


def test_flags_of_the_same_image_are_joined():
    quality, fields = plate([0.9, 0.2, 0.9, 0.9])
    quality.loc[2, "FocusScore"] = -4.0
    flags = flag_images(quality, fields, "DNA", Flags())
    assert flags.loc[2, "Flags"] == "out of focus; segmentation"
    assert flags.loc[2, "Excluded"]
    assert flags["Flags"].notna().sum() == 1
