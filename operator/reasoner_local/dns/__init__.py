"""Names of Services and pods, for the processes of pods."""
