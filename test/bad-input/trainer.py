"""Runs verbs of the trainer one after the other in this process, as a command line would: each start costs seconds.

A line of stdin is {"verb", "spec", "environment"}; a line of file descriptor 3 is {"ends", "says"}.
"""

import contextlib
import io
import json
import os
import sys

from backspin_trainer.__main__ import main

answers = os.fdopen(3, "w", buffering=1)
for line in sys.stdin:
    asked = json.loads(line)
    os.environ.update(asked["environment"])
    sys.argv = ["backspin_trainer", asked["verb"], "--spec", asked["spec"]]
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main()
    print(json.dumps({"ends": int(code), "says": said.getvalue()}), file=answers)
