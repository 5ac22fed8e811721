"""A process that compacts a lake again and again until it is killed: EVENTS CATALOG WAREHOUSE NAMESPACE.

Prints a line when it begins, and one for each run.
"""

import os
import sys
from datetime import UTC, datetime

from tributary_emr.catalog import Catalog
from tributary_emr.compact import arguments, compact
from tributary_emr.lake import LakeError
from tributary_emr.session import open_session

events, kind, warehouse, namespace = sys.argv[1:]
where = Catalog(kind, warehouse, namespace)
spark = open_session("compaction-until-killed", os.environ, uris=(events, warehouse), catalog=where)
options = arguments(["--slice-objects", "4", "--small-files", "3"])
print("begins", flush=True)
while True:
    try:
        run = compact(spark, events, where, options, now=datetime.now(UTC))
        print(f"run {run.account.added}", flush=True)
    except LakeError as error:
        print(f"lost {error}", flush=True)
