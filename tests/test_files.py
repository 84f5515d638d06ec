import pytest

from profiling.files import hash_file, whole_file


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(ValueError), whole_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise ValueError
    assert not list(tmp_path.iterdir())
    with whole_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
        assert not (tmp_path / "a.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_what_a_killed_process_left_of_the_same_file_is_removed(tmp_path):
    others = {".P-1-abcdefgh.parquet", ".Q-abcdefgh.parquet", ".P-short.parquet", ".P-abcdefgh.txt.parquet"}
    for name in {".P-abcdefgh.parquet", ".P-a_c4e6g8.parquet", *others}:
        (tmp_path / name).touch()
    with whole_file(tmp_path / "P.parquet") as temporary:
        temporary.write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == {"P.parquet", *others}


@pytest.mark.parametrize("path", ["/dev/zero", "a\0b", "x" * 300, "."])
def test_what_is_no_file_has_no_hash(path):
    assert hash_file(path) is None
