import numpy as np
import pandas as pd
import pytest

from profiling.plates.pages import expand_pages
from profiling.plates.readers import COLUMNS


def files(*paths):
    count = len(paths)
    images = {"Metadata_Well": ["A01"] * count, "Metadata_Site": range(1, count + 1), "Metadata_Time": [7] * count}
    images |= {"Metadata_Z": [3] * count, "Metadata_Channel": [""] * count, "Path": paths}
    return pd.DataFrame(images).astype({name: kind for name, kind in COLUMNS.items() if name in images})


@pytest.mark.parametrize(
    ("pages", "column", "numbers"),
    [
        ("channel", "Metadata_Channel", ["1", "2", "1", "2", "3", "1", "2"]),
        ("z", "Metadata_Z", [0, 1, 0, 1, 2, 0, 1]),
        ("time", "Metadata_Time", [0, 1, 0, 1, 2, 0, 1]),
    ],
)
def test_every_page_is_a_row_and_an_unreadable_file_has_as_many_as_most(pages, column, numbers):
    images = files("a.tif", "b.tif", "c.tif", "d.tif").set_index(pd.Index([5, 5, 5, 5]))[:3]
    table = expand_pages(images, pages, {"a.tif": 2, "b.tif": 3, "c.tif": 0}.get)
    assert table["Path"].tolist() == ["a.tif"] * 2 + ["b.tif"] * 3 + ["c.tif"] * 3
    assert table["Page"].tolist() == [0, 1, 0, 1, 2, 0, 1, 2]
    assert table[column].tolist() == [*numbers, numbers[4]]
    assert table["Metadata_Site"].tolist() == [1, 1, 2, 2, 2, 3, 3, 3]
    untouched = table.drop(columns=[column, "Page", "Path", "Metadata_Site"])
    assert untouched.drop_duplicates().shape[0] == 1
    assert {name: str(kind) for name, kind in table.dtypes.items()} == {name: COLUMNS[name] for name in table.columns}


def test_each_file_is_asked_once_and_none_gives_an_empty_table():
    asked = []
    table = expand_pages(files("a.tif", "b.tif"), "z", lambda path: asked.append(path) or 4)
    assert asked == ["a.tif", "b.tif"]
    assert np.array_equal(table["Page"], [0, 1, 2, 3] * 2)
    assert expand_pages(files(), "channel", lambda path: 1).empty
