"""The `doctor` verb: checks this Python and prints the result as JSON."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform

from .exits import Exit

# Minor versions are exact: `training` overrides private methods of Trainer and SFTTrainer.
_NEEDED = {
    "torch": "2.13",
    "transformers": "5.18",
    "trl": "1.13",
    "peft": "0.21",
    "accelerate": "1.15",
    "datasets": "5.0",
    "safetensors": "",
    "jinja2": "",
    "aiohttp": "",
}
_REMEDY = "Install trainer/requirements.lock into this Python."


def doctor() -> Exit:
    """Prints versions, devices and problems, each with its remedy. Returns 69 if there is a problem."""
    problems = [problem for name, version in _NEEDED.items() if (problem := _problem(name, version))]
    report = {
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "transformers", "trl")},
        "cuda": _devices(),
        "threads": os.cpu_count(),
        "ok": not problems,
        "problems": problems,
    }
    print(json.dumps(report))
    return Exit.DEPENDENCY if problems else Exit.DONE


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _problem(name: str, series: str) -> dict[str, str] | None:
    """The problem of a package: it is missing, its version is not of the locked series, or it cannot be imported."""
    version = _version(name)
    if version is None:
        return {"what": f"The package {name} is missing.", "remedy": _REMEDY}
    if series and not version.startswith(f"{series}."):
        return {"what": f"The package {name} is {version}, and {series} is needed.", "remedy": _REMEDY}
    try:
        importlib.import_module(name)
    except Exception as error:
        return {"what": f"The package {name} {version} cannot be imported: {error}", "remedy": _REMEDY}
    return None


def _devices() -> list[dict[str, object]]:
    try:
        import torch
    except Exception:
        return []
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [{"name": device.name, "memoryGiB": round(device.total_memory / 2**30, 1)} for device in found]
