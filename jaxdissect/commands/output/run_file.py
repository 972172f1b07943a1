"""`run.json`: on what a command ran, how long each pass took, and what it waited for.

It stands beside the results and is no part of them: two runs with the same results differ in it.
"""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

from jaxdissect.commands.output.settings import all_options
from jaxdissect.engine.meter import Meter

RUN_FILE = "run.json"

_PACKAGES = ("jaxdissect", "jax", "jaxlib", "flax", "numpy")


def write_run(path: Path, options: Any, meter: Meter) -> None:
    """Write versions, devices, all options of a command, and the figures of its passes.

    Args:
        path: The file.
        options: The options, a dataclass.
        meter: What has measured the passes.
    """
    found = {
        "versions": {"python": platform.python_version(), **_versions()},
        "devices": [device.device_kind for device in jax.devices()],
        "platform": jax.devices()[0].platform,
        "processes": jax.process_count(),
        "command": all_options(options),
        **meter.as_json(),
    }
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # one that was never installed, only put on the path
            pass
    return versions
