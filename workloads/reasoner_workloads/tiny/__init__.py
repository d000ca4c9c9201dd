"""Stand-ins for real data and models, small enough to learn on two cores in minutes: a family of short-answer
questions, verdicts on answers to them, and two Qwen2-architecture models of under half a million parameters.
Made by `python -m reasoner_workloads tiny` for the demo and the tests; nothing else in the product knows them."""
