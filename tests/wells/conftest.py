import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def make_wells():
    """Build a wells table: layout = {(plate, treatment): wells}, profiles of noise plus the effects."""

    def make(layout, effects=None, d=5, k=3, seed=0):
        rng = np.random.default_rng(seed)
        rows = [(plate, treatment) for (plate, treatment), n in layout.items() for _ in range(n)]
        frame = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Treatment"])
        number = frame.groupby("Metadata_Plate").cumcount()
        frame["Metadata_Well"] = [f"{'ABCDEFGHIJKLMNOP'[i // 24]}{i % 24 + 1:02d}" for i in number]
        frame["Metadata_Compound"] = frame["Metadata_Treatment"].str.split("@").str[0]
        frame["Metadata_Concentration"] = np.nan
        frame["Metadata_Unit"] = "µM"
        roles = {"DMSO": "negative_control", "taxol": "positive_control"}
        frame["Metadata_Role"] = frame["Metadata_Compound"].map(roles).fillna("treatment")
        frame["Metadata_CellCount"] = 100
        frame["FewCells"] = False
        effect = frame["Metadata_Treatment"].map(effects or {}).fillna(0.0).to_numpy(float)
        x = rng.normal(size=(len(frame), d)) + effect[:, None]
        shares = np.exp(rng.normal(0, 0.3, size=(len(frame), k)))
        shares[:, 0] *= np.exp(effect)
        shares /= shares.sum(axis=1, keepdims=True)
        frame[[f"PC_{i:04d}" for i in range(1, d + 1)]] = x
        frame[[f"ClusterShare_{i:02d}" for i in range(1, k + 1)]] = shares
        return frame

    return make
