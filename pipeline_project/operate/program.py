"""`python -m pipeline_project.operate.program MODULE …`: a program of Dagster's whose warnings and last words are lines of JSON
like the rest. What it logs itself is: it is told so.
"""

import runpy
import sys

from pipeline_project import logs

if __name__ == "__main__":
    logs.configure_process()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
