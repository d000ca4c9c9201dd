"""Questions, a verifier and a base model in, a reasoning model out (General-Reasoner, section 3)."""
