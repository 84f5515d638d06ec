import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiling.plates.wells import (
    LAYOUTS,
    chunk_wells,
    infer_layout,
    normalise_well,
    parse_well,
    plate_wells,
    well_name,
)

ROWS, COLUMNS = LAYOUTS[1536]
positions = st.tuples(st.integers(1, ROWS), st.integers(1, COLUMNS))
layouts = st.sampled_from(list(LAYOUTS))


def spellings(row, column):
    letters = well_name(row, column)[:-2]
    return [
        f"{letters}{column}",
        f"{letters}{column:02d}",
        f"{letters}{column:03d}",
        f"{letters.lower()}{column}",
        f"{letters}-{column:02d}",
        f" {letters} {column} ",
        f"r{row}c{column}",
        f"r{row:02d}c{column:02d}",
        f"R{row}_C{column:02d}",
    ]


@given(positions)
def test_every_spelling_gives_the_same_well(position):
    name = well_name(*position)
    assert {normalise_well(text) for text in spellings(*position)} == {name}
    assert parse_well(name) == position


def test_known_names():
    assert [well_name(1, 1), well_name(26, 48), well_name(27, 1), well_name(32, 48)] == [
        "A01",
        "Z48",
        "AA01",
        "AF48",
    ]
    assert parse_well("AA24") == (27, 24)


@pytest.mark.parametrize("text", ["", "A", "A0", "A00", "01", "A01B", "AAA1", "Ä1", "A-1-2", "r0c1", "None", "1E10"])
def test_what_is_no_well_is_refused(text):
    with pytest.raises(ValueError, match="is not a well name; write it as A01"):
        normalise_well(text)


@pytest.mark.parametrize("text", ["AG01", "A49", "ZZ1", "r33c01"])
def test_what_lies_outside_every_plate_is_refused(text):
    with pytest.raises(ValueError, match="lies outside a 1536-well plate"):
        normalise_well(text)


@given(positions, layouts)
def test_a_well_is_accepted_exactly_by_the_layouts_that_hold_it(position, layout):
    name = well_name(*position)
    if name in plate_wells(layout):
        assert normalise_well(name, layout) == name
    else:
        with pytest.raises(ValueError, match=f"lies outside a {layout}-well plate"):
            normalise_well(name, layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_has_as_many_wells_as_it_says(layout):
    wells = plate_wells(layout)
    assert len(wells) == len(set(wells)) == layout
    assert wells[0] == "A01"
    assert wells[-1] == well_name(*LAYOUTS[layout])


@pytest.mark.parametrize(
    ("wells", "layout"),
    [(["A01"], 96), (["h12"], 96), (["H12", "I1"], 384), (["P24", "A25"], 1536), (["AF48"], 1536)],
)
def test_the_smallest_layout_that_holds_all_wells(wells, layout):
    assert infer_layout(wells) == layout


@given(layouts, st.integers(1, 40), st.data())
def test_chunks_partition_the_plate(layout, chunks, data):
    chunks = min(chunks, layout)
    wells = plate_wells(layout)
    excluded = {wells[i] for i in data.draw(st.sets(st.integers(0, layout - 1), max_size=10))}
    parts = [chunk_wells(layout, chunk, chunks, excluded) for chunk in range(1, chunks + 1)]
    assert sorted(well for part in parts for well in part) == sorted(set(wells) - excluded)
    whole = [chunk_wells(layout, chunk, chunks) for chunk in range(1, chunks + 1)]
    assert max(map(len, whole)) - min(map(len, whole)) <= 1
    assert [well for part in parts for well in part] == [w for part in whole for w in part if w not in excluded]


@pytest.mark.parametrize("chunk", [0, 5])
def test_a_chunk_that_does_not_exist_is_refused(chunk):
    with pytest.raises(ValueError, match="chunks 1 to 4"):
        chunk_wells(96, chunk, 4)
