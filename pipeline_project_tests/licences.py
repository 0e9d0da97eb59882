"""The licences of the packages that the platform is delivered with, as the NOTICE lists them.

`python -m pipeline_project_tests.licences > NOTICE` writes the file again after a change of the requirements.
"""

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parents[1]
DELIVERED = ("api", "image", "run")
"""The requirements files of the API function, of the image, and of the local platform."""

HEAD = """Pipeline project
Copyright the authors of the pipeline project. Licensed under the Apache License, Version 2.0 (file LICENSE).

The API function, the image and the local platform contain these packages under their own licences:

"""
ELSEWHERE = {
    "colorama": "BSD-3-Clause",
    "greenlet": "MIT AND PSF-2.0",
    "pyreadline3": "BSD-3-Clause",
    "pywin32": "PSF-2.0",
}
"""Licences of packages that are not installed on every machine, as their projects declare them."""

_NAMES = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL-3.0-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""SPDX identifiers of classifiers and of older texts."""


def packages() -> list[str]:
    """Return the names of all delivered packages in their order."""
    lines = [line for name in DELIVERED for line in (ROOT / f"requirements/{name}.txt").read_text("utf-8").splitlines()]
    return sorted({line.split("==")[0].lower() for line in lines if "==" in line})


def licence(package: str) -> str:
    """Return the licence that a package declares, as an SPDX expression if possible.

    Raises PackageNotFoundError if the package is neither installed nor listed in ELSEWHERE.
    """
    try:
        return _declared(distribution(package))
    except PackageNotFoundError:
        if package not in ELSEWHERE:
            raise
        return ELSEWHERE[package]


def _declared(package: Distribution) -> str:
    metadata = package.metadata.json
    if expression := metadata.get("license_expression"):
        return str(expression)
    classifiers = [each.split(" :: ")[-1] for each in metadata.get("classifier", ()) if each.startswith("License")]
    text = str(metadata.get("license", "")).strip().partition("\n")[0]
    found = classifiers or [text]
    return " OR ".join(_NAMES.get(each, re.sub(r" \(.*\)$", "", each)) for each in found)


def notice() -> str:
    """Return the text of NOTICE."""
    names = packages()
    width = max(map(len, names)) + 2
    return HEAD + "".join(f"{name:<{width}}{licence(name)}\n" for name in names)


if __name__ == "__main__":
    sys.stdout.write(notice())
