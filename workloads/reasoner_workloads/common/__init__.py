"""What every workload stands on: stores, artifacts, answers, the report a pod leaves, the frame of a run."""
