"""datatrove's inference runner on the same questions, with its checkpoints, which keep each answer. A client of
`curation_throughput.py`."""

from __future__ import annotations

from common import SYSTEM, arguments, measured, question
from datatrove.data import Document
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.writers import JsonlWriter

told = arguments()


async def rollout(document, generate):
    """One question."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": document.text}]
    return await generate({"messages": messages, "max_tokens": 4096, "temperature": 1.0})


def main() -> None:
    """Ask all."""
    documents = [Document(text=question(number), id=str(number)) for number in range(told.requests)]
    config = InferenceConfig(
        server_type="endpoint",
        endpoint_url=told.url,
        model_name_or_path="gpt-4o-mini",
        max_concurrent_generations=told.concurrency,
        server_ready_delay_sec=0.1,
    )
    runner = InferenceRunner(
        rollout_fn=rollout,
        config=config,
        output_writer=JsonlWriter(str(told.folder / "out"), output_filename="${rank}_${chunk_index}.jsonl"),
        checkpoints_local_dir=str(told.folder / "checkpoints"),
    )
    with measured(told.folder / "told.json") as found:
        stats = LocalPipelineExecutor(
            pipeline=[documents, runner], logging_dir=str(told.folder / "logs"), tasks=1
        ).run()
        found["answers"] = stats.stats[-1]["successful_requests"].total if stats else 0


if __name__ == "__main__":
    main()
