"""Serves Dagster's web UI and GraphQL on the loopback, to this origin only.

`python -m pipeline_project.local.webserver WORKSPACE PORT`. Dagster itself runs a mutation for every web page that asks for
it, even in the query string of a GET.
"""

import sys
from pathlib import Path

from pipeline_project.local.postgres import HOST
from pipeline_project.local.same_origin import SameOrigin
from pipeline_project.orchestration.compatibility.webserver import serve

if __name__ == "__main__":
    serve(Path(sys.argv[1]), HOST, int(sys.argv[2]), SameOrigin)
