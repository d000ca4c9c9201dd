"""A package with rewards of its own, as a platform team would install it into an image."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "house-rewards"
version = "1.0"
[tool.hatch.build.targets.wheel]
only-include = ["house_rewards.py"]
[project.entry-points."reasoner.rewards"]
brevity = "house_rewards:brevity"
politeness = "house_rewards:politeness"
endless = "house_rewards:endless"
broken = "house_rewards:nowhere"
constant = "house_rewards:NUMBER"
"""
MODULE = """
import asyncio
from pathlib import Path

NUMBER = 7

def brevity(limit=10):
    def reward(completions, **columns):
        return [float(len(text) <= limit) for text in completions]
    return reward

def politeness():
    async def reward(completions, extracted, verdict, answer, question, prompts, completion_ids):
        return [None if found is None else float("please" in text) for text, found in zip(completions, extracted)]
    return reward

def endless(output):
    async def reward(completions, **columns):
        if any(Path(output).rglob("checkpoints/*/manifest.json")):
            await asyncio.Event().wait()
        return [0.0] * len(completions)
    return reward
"""


def install(folder: Path) -> Path:
    """Build and install it; the folder to put on the path."""
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "house_rewards.py").write_text(MODULE)
    options = ["install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target"]
    command = [sys.executable, "-m", "pip", *options, str(folder / "site"), str(folder)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return folder / "site"
