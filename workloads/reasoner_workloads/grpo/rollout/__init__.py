"""Generation of responses, and the proof that they come from the intended weights."""
