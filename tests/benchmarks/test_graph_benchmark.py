from benchmarks import graph


def test_rows_of_a_screen_of_one_plate(capsys):
    graph.main(["--plates", "1", "--wells", "6", "--chunks", "2", "--restart"])
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[2] for row in rows] == ["whole", "a job", "all done"]
    assert all(float(row[3]) > 0 and float(row[5]) > 50 for row in rows)
