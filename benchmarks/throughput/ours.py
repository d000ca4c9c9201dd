"""Curation's own models: a question a task, each answer kept in the object store before it counts. A client of
`curation_throughput.py`."""

from __future__ import annotations

import asyncio

from common import arguments, measured, question

from reasoner_api.curation import CurationWork
from reasoner_workloads.common.store import FileStore
from reasoner_workloads.curation import prompts
from reasoner_workloads.curation.ledger import Ledger
from reasoner_workloads.curation.llm import close_models, open_models
from reasoner_workloads.curation.memory import collect_seldom
from reasoner_workloads.curation.models.purse import Purse
from reasoner_workloads.curation.models.responses import Responses


async def main() -> None:
    """Ask all."""
    told = arguments()
    endpoint = {"baseURL": f"{told.url}/v1", "model": "gpt-4o-mini", "concurrency": told.concurrency}
    work = CurationWork.model_validate(
        {
            "source": {"uri": "file:///none.jsonl"},
            "models": {"extractor": endpoint},
            "storage": {"uri": told.folder.as_uri()},
        }
    )
    numbers = iter(range(told.requests))
    collect_seldom()  # as a pod does
    with measured(told.folder / "told.json") as found:
        store = FileStore(told.folder / "store")
        async with Responses(store, "bench") as responses:
            models = open_models(work, Purse(Ledger(), store), {}, 1)
            model = models["solver"].at((await responses.open("")).at(0))

            async def ask() -> int:
                count = 0
                for number in numbers:
                    count += len(await model.write(prompts.solution(question(number)))) > 0
                return count

            # As many rows at a time as a pod has for endpoints of this concurrency in its four roles.
            found["answers"] = sum(await asyncio.gather(*(ask() for _ in range(4 * told.concurrency))))
            await close_models(models)


if __name__ == "__main__":
    asyncio.run(main())
