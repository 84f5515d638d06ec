import json
from pathlib import Path

import pytest

from profiling.config import SECTIONS, Config, Plate
from profiling.docs import config_page, tables_page, write_docs
from profiling.errors import ProfilingError
from profiling.schemas import TABLES

ROOT = Path(__file__).resolve().parents[1]


def test_generated_files_are_up_to_date():
    write_docs(ROOT, check=True)


def test_stale_and_absent_files_are_named_and_written(tmp_path):
    with pytest.raises(ProfilingError, match=r"docs/tables\.md, config/README\.md, .*, config/schema\.json"):
        write_docs(tmp_path, check=True)
    assert not list(tmp_path.iterdir())
    write_docs(tmp_path)
    (tmp_path / "docs/tables.md").write_text("old\n")
    with pytest.raises(ProfilingError, match=r"out of date: docs/tables\.md; run `profiling docs`"):
        write_docs(tmp_path, check=True)
    assert write_docs(tmp_path) == ["docs/tables.md"]
    assert write_docs(tmp_path, check=True) == []


def test_a_setting_added_makes_the_files_stale(tmp_path, monkeypatch):
    write_docs(tmp_path)
    field = SECTIONS["clusters"].model_fields["k"]
    monkeypatch.setattr(field, "description", "Another text.")
    with pytest.raises(ProfilingError, match=r"config/README\.md"):
        write_docs(tmp_path, check=True)


def test_every_key_and_column_has_an_entry_with_a_description():
    page = config_page()
    for model in (Config, Plate, *SECTIONS.values()):
        for key, field in model.model_fields.items():
            if key in SECTIONS and model is Config:
                assert f"\n## {key}\n" in page
                continue
            entry = next(
                line for line in page.splitlines() if line.startswith(f"| `{key}` ") and field.description in line
            )
            assert entry.count(" | ") >= 3
    page = tables_page()
    for name, spec in TABLES.items():
        section = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert f"results/{spec.path}" in section
        assert all(column.description in section for column in spec.columns)


def test_schema_lets_an_editor_accept_what_the_configuration_accepts():
    schema = json.loads((ROOT / "config/schema.json").read_text(encoding="utf-8"))
    crop = schema["$defs"]["Embedding"]["properties"]["crop"]
    assert crop["type"] == ["string", "number"]
    assert {"type": "string"} in schema["properties"]["plates"]["anyOf"]
    assert schema["additionalProperties"] is False
    assert all(schema["$defs"][model.__name__]["additionalProperties"] is False for model in SECTIONS.values())
