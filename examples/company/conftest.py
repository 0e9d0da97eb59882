"""Lets pytest use this folder as the plug-ins, unless the environment names another one."""

import os
from pathlib import Path

os.environ.setdefault("PIPELINE_PLUGINS", str(Path(__file__).parent))
