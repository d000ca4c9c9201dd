"""The work that runs inside pods: curation, verifier training and serving, GRPO."""
