import cv2
import numpy as np
import pandas as pd

from benchmarks import segmentation_score


def test_the_score_knows_spoiled_masks_of_every_origin(tmp_path, capsys):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for number in range(2):
        rng, labels = np.random.default_rng(number), np.zeros((200, 200), np.uint8)
        for nucleus, (y, x) in enumerate(np.ndindex(4, 4), 1):
            cv2.circle(labels, (28 + 48 * x, 28 + 48 * y), int(rng.integers(9, 13)), nucleus, -1)
        image = (
            100 + 400 * cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), 1) + rng.normal(0, 4, labels.shape)
        )
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), image.astype(np.uint16))
        cv2.imwrite(str(tmp_path / "labels" / f"{number}.png"), labels)
    (tmp_path / "index.csv").write_text("image,field_group\n0,0\n1,1\n")

    segmentation_score.main([str(tmp_path), "--table", str(tmp_path / "masks.parquet")])
    masks = pd.read_parquet(tmp_path / "masks.parquet").groupby("Masks")[["AP", "Score"]].mean()
    good = masks.loc[["truth", "nuclei, as it is", "classical, as it is"]]
    spoiled = masks.loc[["truth, split", "truth, shifted", "truth, shrunk", "truth, half lost"]]
    assert (good > 0.75).all(axis=None), good
    assert (spoiled < 0.65).all(axis=None), spoiled
    assert "fitted: intercept" in capsys.readouterr().out
