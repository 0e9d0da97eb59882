"""`make mutate`: which small changes to the code does no test notice?"""

import argparse
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from pipeline_project_tests.fix_aws import emulator
from pipeline_project_tests.mutate.areas import areas
from pipeline_project_tests.mutate.campaign import Campaign, sample
from pipeline_project_tests.mutate.tree import copied
from pipeline_project_tests.shared_postgres import joined

ROOT = Path(__file__).parent.parent.parent


def main() -> None:
    known = areas()
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__)
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"any of {', '.join(known)}; all if left out")
    parser.add_argument("--sample", type=int, default=40, help="lines of each area, each with one mutation")
    parser.add_argument("--seed", type=int, default=1, help="another seed is another sample")
    parser.add_argument("--minutes", type=float, default=60, help="start no trial later than that")
    given = parser.parse_args()
    if unknown := sorted(set(given.areas) - set(known)):
        parser.error(f"there is no area {unknown[0]}: take one of {', '.join(known)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers end, too
    deadline = time.monotonic() + 60 * given.minutes
    results = []
    with ExitStack() as stack:
        copy = stack.enter_context(copied(ROOT))
        servers = copy.parent / "servers"
        stack.enter_context(joined(servers / "postgres"))
        (servers / "aws").mkdir()
        endpoint = stack.enter_context(emulator(servers / "aws"))
        (servers / "aws-endpoint").write_text(endpoint, "utf-8")
        campaign = Campaign(copy, servers, ROOT / "build" / "mutate", deadline)
        for name in given.areas or known:
            chosen = sample(copy, known[name], given.sample, given.seed)
            results.append(campaign.run(known[name], chosen))
    for result in results:
        print(result)  # noqa: T201


if __name__ == "__main__":
    main()
