"""A real scheduler: `make test-cluster`.

Runs on the Slurm that is there, else on one of a node with two pretended GPUs that the script named by
`PROFILING_SLURM` (called with `up` and `down`) brings up.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from small_screen import CONFIG, check_equal, start
from starts import ROOT, snakemake, write_config

pytestmark = pytest.mark.slurm
SCRIPT = Path(os.environ.get("PROFILING_SLURM", ROOT.parent / "shared" / "tools" / "slurm-up.sh"))
SLURM = ("--workflow-profile", str(ROOT / "profiles" / "slurm"), "--slurm-no-account")
ASKED_OFTEN = ("--seconds-between-status-checks", "2", "--slurm-init-seconds-before-status-checks", "2")


def answers():
    return shutil.which("sinfo") and not subprocess.run(["sinfo"], capture_output=True).returncode


@pytest.fixture(scope="module", autouse=True)
def slurm():
    """Slurm, started if need be and stopped again."""
    if answers():
        yield
        return
    if not SCRIPT.is_file() or subprocess.run([SCRIPT, "up"], capture_output=True).returncode or not answers():
        pytest.skip(f"there is no Slurm, and {SCRIPT} does not bring one up")
    yield
    subprocess.run([SCRIPT, "down"], check=True, capture_output=True)


def commands(screen):
    """Process id → words and environment of the screen's commands that are at work, without processes of their own."""
    found, parents = {}, {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd") != str(screen.resolve()):
                continue
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            lines = Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
            parents[int(pid)] = int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
        except OSError:
            continue
        if len(words) > 2 and words[1].endswith("/profiling"):
            found[int(pid)] = words[2:], dict(line.split("=", 1) for line in lines if "=" in line)
    return {pid: told for pid, told in found.items() if parents[pid] not in found}


def test_gpus_are_told_apart_and_jobs_without_one_see_none(begun):
    write_config(begun, CONFIG | {"embedding": CONFIG["embedding"] | {"device": "auto"}})
    process, said = start(begun, *SLURM, *ASKED_OFTEN, "--", "embedded")
    seen, held = {}, set()
    while process.poll() is None:
        for pid, (words, environment) in commands(begun).items():
            seen[pid] = words[0], environment.get("CUDA_VISIBLE_DEVICES", "")
            if words[0] == "embed" and pid not in held and len(held) < 2:
                os.kill(pid, signal.SIGSTOP)  # until both are at work, however short they are
                held.add(pid)
        if len(held) == 2:
            devices = {seen[pid][1] for pid in held}
            for pid in held:
                os.kill(pid, signal.SIGCONT)
            break
        time.sleep(0.02)
    while process.poll() is None:
        seen |= {pid: (w[0], e.get("CUDA_VISIBLE_DEVICES", "")) for pid, (w, e) in commands(begun).items()}
        time.sleep(0.05)
    assert process.returncode == 0, said.read_text()[-4000:]
    assert devices == {"0", "1"}
    others = {device for command, device in seen.values() if command not in ("embed", "backbone")}
    assert others <= {"", "NoDevFiles"}, others
    assert {"images", "segment", "limits"} <= {command for command, _ in seen.values()}


def test_a_job_that_needs_more_memory_gets_it_at_the_third_attempt(begun, undisturbed):
    snakemake(begun, *SLURM, *ASKED_OFTEN, "--set-resources", "map:mem_mb=150*2**(attempt-1)")
    logged = "".join(path.read_text() for path in begun.glob("start-*.txt"))
    assert logged.count("Error in rule map:") == 2
    check_equal(begun, undisturbed)


def test_jobs_cancelled_at_random_moments_are_tried_again(begun, undisturbed):
    rng, faults = random.Random(0), 0
    process, said = start(begun, *SLURM, *ASKED_OFTEN, "--retries", "9")
    while process.poll() is None:
        time.sleep(rng.uniform(4, 20))
        running = subprocess.run(["squeue", "-h", "-t", "R", "-o", "%A"], capture_output=True, text=True).stdout.split()
        if running and faults < 10:
            subprocess.run(["scancel", rng.choice(running)], check=True)
            faults += 1
    assert process.returncode == 0, said.read_text()[-4000:]
    check_equal(begun, undisturbed)
    print(f"\nSlurm jobs cancelled: {faults}, all made again")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can kill the node's daemon")
def test_a_node_whose_daemon_and_jobs_die_is_used_again(begun, undisturbed):
    process, said = start(begun, *SLURM, *ASKED_OFTEN)
    while process.poll() is None and not any(words[0] == "segment" for words, _ in commands(begun).values()):
        time.sleep(0.05)
    subprocess.run(["pkill", "-KILL", "-x", "slurmd"], check=True)
    subprocess.run(["pkill", "-KILL", "slurmstepd"])
    for pid in commands(begun):
        os.kill(pid, 9)
    time.sleep(3)
    subprocess.run(["slurmd"], check=True)
    assert process.wait() == 0, said.read_text()[-4000:]
    check_equal(begun, undisturbed)


def test_the_demo_screen_is_the_same_on_a_cluster(tmp_path):
    from profiling.demo import simulate

    local, cluster = tmp_path / "local", tmp_path / "cluster"
    simulate(local / "demo", workers=2)
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text()) | {"plates": "plates.tsv"}
    write_config(local, config)
    shutil.copy(ROOT / "config" / "plates.tsv", local)
    shutil.copytree(local, cluster)
    began = time.monotonic()
    snakemake(local)
    between = time.monotonic()
    snakemake(cluster, *SLURM)
    print(f"\ndemo: {between - began:.0f} s on one machine, {time.monotonic() - between:.0f} s on Slurm on it")
    check_equal(cluster, local)
