"""What verifier and GRPO training share: base models, arguments, checkpoints, processes, word while training."""
