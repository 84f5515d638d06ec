"""IdentifyPrimaryObjects of an installed CellProfiler, field by field on request.

Run by `benchmarks.segmentation_speed` with the Python of CellProfiler's own environment; imports nothing of this
project. Each line of the standard input is a JSON object: `image` (a .npy file), `labels` (where to write a .npy
file), `smallest` and `largest` (px) or null for the module's default range. Each is answered by a line
with `seconds`, the processor time of the module's `run`.
"""

import json
import sys
import time

import numpy as np
from cellprofiler.modules.identifyprimaryobjects import IdentifyPrimaryObjects
from cellprofiler_core.image import Image, ImageSetList
from cellprofiler_core.measurement import Measurements
from cellprofiler_core.object import ObjectSet
from cellprofiler_core.pipeline import Pipeline
from cellprofiler_core.preferences import set_headless
from cellprofiler_core.workspace import Workspace


def identify(image, smallest, largest):
    """Labels of the nuclei of an image in 0..1, those at the border included, and the seconds it took."""
    module = IdentifyPrimaryObjects()
    module.set_module_num(1)
    module.x_name.value, module.y_name.value = "DNA", "Nuclei"
    module.show_window = False
    module.exclude_border_objects.value = False
    if smallest is not None:
        module.size_range.value = (smallest, largest)
    pipeline, images, objects = Pipeline(), ImageSetList(), ObjectSet()
    pipeline.add_module(module)
    image_set = images.get_image_set(0)
    image_set.add("DNA", Image(image))
    workspace = Workspace(pipeline, module, image_set, objects, Measurements(), images)
    start = time.process_time()
    module.run(workspace)
    seconds = time.process_time() - start
    return objects.get_objects("Nuclei").segmented, seconds


def main():
    set_headless()
    answers, sys.stdout = sys.stdout, sys.stderr  # the module prints
    for line in sys.stdin:
        task = json.loads(line)
        labels, seconds = identify(np.load(task["image"]), task["smallest"], task["largest"])
        np.save(task["labels"], labels)
        print(json.dumps({"seconds": seconds}), file=answers, flush=True)


if __name__ == "__main__":
    main()
