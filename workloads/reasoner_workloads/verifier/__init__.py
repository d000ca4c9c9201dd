"""Verdicts in, a generative answer verifier out (General-Reasoner, section 3.2); and its server."""
