"""Curation: web-crawled questions in, a dataset of verifiable questions out (General-Reasoner, section 2)."""
