"""Run one measurement in this process: ``python -m celeba_lab.benchmarks.worker NAME ARGUMENTS RESULT``.

``ARGUMENTS`` are the keyword arguments as JSON, and ``RESULT`` is the file for the returned dictionary, also as JSON.
"""

import json
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

MODULE = "celeba_lab.benchmarks.worker"
_REFERENCE, _BARE = "celeba_lab.benchmarks.reference", "celeba_lab.benchmarks.bare"
_PIPELINES = "celeba_lab.benchmarks.pipelines"
FUNCTIONS: Mapping[str, tuple[str, str]] = {
    "reference_classifier": (_REFERENCE, "train_classifier"),
    "reference_gan": (_REFERENCE, "train_gan"),
    "reference_cooccurrence": (_REFERENCE, "conditional_probabilities"),
    "reference_logistic": (_REFERENCE, "logistic_regressions"),
    "reference_clusters": (_REFERENCE, "kmeans_clusters"),
    "bare_classifier": (_BARE, "train_classifier"),
    "bare_gan": (_BARE, "train_gan"),
    "bare_inference": (_BARE, "classify"),
    "read_faces": (_PIPELINES, "read_faces"),
    "read_faces_reference": (_PIPELINES, "read_faces_reference"),
    "read_faces_torchvision": (_PIPELINES, "read_faces_torchvision"),
}
"""Module and name of each function that can be measured. Modules are imported only by the process that needs them."""


def call(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Call a function in :data:`FUNCTIONS`, and return its result. Tables are not returned.

    Args:
        name: Name of the function.
        arguments: Its arguments.
    """
    module, attribute = FUNCTIONS[name]
    function: Callable[..., Any] = getattr(import_module(module), attribute)
    result = function(**arguments)
    return result if isinstance(result, dict) else {}


if __name__ == "__main__":
    Path(sys.argv[3]).write_text(json.dumps(call(sys.argv[1], json.loads(sys.argv[2]))))
