"""What is dropped by rules, without asking a model: by length, language, benchmarks, likeness."""
