import re

import torch

from benchmarks.gpu import NETWORKS, main


def test_the_benchmark_runs_on_a_cpu_and_prints_a_row_for_each_network(capsys):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        sizes = "--fields 2 --cells 3 --side 160 --size 64 --batch-size 6 --threads 1 --repeats 1"
        main(["--device", "cpu", "--precision", "fp32", *sizes.split()])
    finally:
        torch.set_num_threads(before)
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[1]: line for line in lines[3:]}
    assert set(rows) == set(NETWORKS)
    columns = lines[1].count("|")
    for line in rows.values():
        assert line.count("|") == columns
        assert len(re.findall(r"\d+%", line)) == 2
