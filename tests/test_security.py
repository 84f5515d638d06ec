"""What SECURITY.md promises of files that come from others: nothing in them is run, and none fills the memory."""

import logging
import os
import pickle
import resource
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
import torch
from safetensors.torch import save_file

from profiling.cells.learned import weights as nuclei
from profiling.cli import main
from profiling.embeddings.adapt.train import _read_checkpoint
from profiling.embeddings.backbones import files, load_backbone
from profiling.errors import ProfilingError
from profiling.images.read import ImageError, read_image
from profiling.phenotypes.models import load_arrays
from profiling.plates.readers import read_folder
from profiling.plates.readers.lists import read_list
from profiling.settings import Images
from profiling.terminal import VisibleFormatter, say

STEERING = "\x1b]0;title\x07\x1b[2J\x9b31m\u202egnp.exe"


class Harm:
    """Something that makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def write_pickle(path, marker):
    path.write_bytes(pickle.dumps({"weight": Harm(marker)}, protocol=2))


def write_checkpoint(path, marker):
    torch.save({"weight": Harm(marker)}, path)


def write_objects(path, marker):
    with open(path, "wb") as file:
        np.savez(file, a=np.array([Harm(marker)], dtype=object))


@pytest.mark.parametrize("write", [write_pickle, write_checkpoint, write_objects])
@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("model.npz", load_arrays),
        ("weights.safetensors", files.read_weights),
        ("weights.pt", files.read_weights),
        ("network.safetensors", files.read_header),
        ("network.onnx", lambda path: load_backbone(f"file:{path}")),
        ("nuclei.safetensors", nuclei.read_weights),
        ("checkpoint.pt", lambda path: _read_checkpoint(path, "key")),
        ("image.tif", read_image),
    ],
)
def test_a_model_file_that_holds_a_program_is_refused_and_not_run(tmp_path, write, name, load):
    write(tmp_path / name, tmp_path / "ran")
    with pytest.raises(ValueError):
        load(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_a_library_that_asks_for_a_whole_pickle_gets_tensors_alone(tmp_path, monkeypatch):
    write_checkpoint(tmp_path / "hub.bin", tmp_path / "ran")
    monkeypatch.setattr("timm.create_model", lambda *_, **__: torch.load(tmp_path / "hub.bin", weights_only=False))
    with pytest.raises(pickle.UnpicklingError):
        load_backbone("timm:resnet18")
    assert not (tmp_path / "ran").exists() and "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.mark.parametrize("backbone", ["timm:hf-hub:somebody/net", "file:other.safetensors"])
def test_a_weights_file_names_no_other_place_to_load_from(tmp_path, backbone):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", {"backbone": backbone})
    with pytest.raises(ProfilingError, match="does not say in its metadata which network"):
        load_backbone(f"file:{tmp_path / 'a.safetensors'}")


def test_weights_that_hold_themselves_are_refused(tmp_path):
    values = {}
    values["again"] = values
    torch.save(values, tmp_path / "weights.pt")
    with pytest.raises(ProfilingError, match="not a weights file"):
        files.read_weights(tmp_path / "weights.pt")


def test_types_in_a_parquet_file_are_not_unpickled(tmp_path):
    extension = {
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickle.dumps(Harm(tmp_path / "ran")),
    }
    schema = pa.schema([pa.field("well", pa.string(), metadata=extension)])
    pq.write_table(pa.table({"well": ["A01"]}, schema=schema), tmp_path / "list.parquet")
    assert read_list(tmp_path / "list.parquet", lambda name: True)["well"].tolist() == ["A01"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("rows", "length"), [(5_000_001, 1), (3000, 200_000)])
def test_a_small_list_of_very_much_is_refused_in_little_memory(tmp_path, rows, length):
    path = tmp_path / "list.parquet"
    texts = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), ["a" * length])
    pq.write_table(pa.table({"path": texts}), path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ProfilingError, match="list.parquet: too large for a list of images"):
        read_list(path, lambda name: True)
    assert path.stat().st_size < 100_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


ENTITIES = "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12))
BOMB = f"<!DOCTYPE b [<!ENTITY a0 'aaaaaaaaaa'>{ENTITIES}]>"
OME = BOMB + '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="&a11;">&a11;</Image></OME>'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Index.idx.xml", f"{BOMB}<EvaluationInputData><Plates><Plate><Name>&a11;</Name></Plate></Plates>"),
        ("MeasurementData.mlf", f"{BOMB}<MeasurementData>&a11;</MeasurementData>"),
        ("P.companion.ome", OME),
        ("A01_s1.ome.tif", OME),
    ],
)
def test_entities_that_multiply_are_refused_in_little_memory(tmp_path, name, text):
    path = tmp_path / name
    if path.suffix == ".tif":
        tifffile.imwrite(path, np.ones((8, 8), np.uint16), description=text.encode(), metadata=None)
        assert read_image(path).shape == (8, 8)
    else:
        path.write_text(text)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ProfilingError, match="document type"):
        read_folder(tmp_path, Images())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_an_image_of_zeros_that_unpacks_to_more_than_memory_is_refused(tmp_path):
    path = tmp_path / "A01.tif"
    tifffile.imwrite(path, np.zeros((64, 64), np.uint16), compression="zlib", metadata=None)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            place = file.pages[0].tags[tag].valueoffset
            data[place : place + 2] = b"\xff\xff"
    path.write_bytes(data)
    with pytest.raises(ImageError, match="truncated or damaged"):
        read_image(path)


def test_what_is_said_and_logged_steers_no_terminal(capsys):
    say([f"one {STEERING}", "two\nlines", "µm → ok"])
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(r"one \x1b]0;title\x07") and said[1:] == [r"two\nlines", "µm → ok"]
    record = logging.makeLogRecord({"msg": f"{STEERING}\nnext"})
    assert VisibleFormatter().format(record) == r"\x1b]0;title\x07\x1b[2J\x9b31m\u202egnp.exe" + "\nnext"


def test_names_of_files_and_wells_steer_no_terminal_in_a_check(tmp_path, capsys):
    (tmp_path / "P1").mkdir()
    for name in ("A01_s1_DNA.tif", f"B01_s1_{STEERING}.tif", f"Z99{STEERING}_s1_DNA.tif"):
        tifffile.imwrite(tmp_path / "P1" / name, np.zeros((16, 16), np.uint16))
    (tmp_path / "map.csv").write_text(f'well,compound,role\nA1,DMSO,"{STEERING}"\nB1,"{STEERING}",x\nC1,y,z\n')
    pattern = r"(?P<well>[A-Z]\d\d.*)_s(?P<site>\d)_(?P<channel>.*)\.tif"
    (tmp_path / "config.yaml").write_text(
        "plates: [{plate: P1, images: P1, platemap: map.csv, layout: 24}]\nchannels: [DNA]\n"
        f"images: {{pattern: '{pattern}'}}\n"
    )
    main(["check", str(tmp_path / "config.yaml"), "--directory", str(tmp_path)])
    shown = "".join(capsys.readouterr())
    assert r"\x1b]0;title" in shown
    assert not set(STEERING) & set(shown) - set(STEERING.replace("\x1b", "").replace("\x07", "").replace("\x9b", ""))


def test_errors_of_a_command_steer_no_terminal(tmp_path):
    command = [sys.executable, "-m", "profiling.cli", "check", str(tmp_path / STEERING)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and r"\x1b]0;title\x07" in done.stderr and "\x1b" not in done.stderr
