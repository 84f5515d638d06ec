import pytest
from synthetic_screen import write_config, write_logs, write_screen


@pytest.fixture(scope="session")
def screen(tmp_path_factory):
    """Folder with `results` and `logs` of the synthetic screen."""
    folder = tmp_path_factory.mktemp("screen")
    write_screen(folder / "results")
    write_config(folder / "results")
    write_logs(folder / "logs")
    return folder
