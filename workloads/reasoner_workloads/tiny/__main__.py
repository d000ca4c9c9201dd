"""`python -m reasoner_workloads.tiny --output s3://bucket/prefix`: publish the stand-ins as artifacts."""

from __future__ import annotations

import sys

from reasoner_workloads.tiny.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
