"""A stand-in for the teacher LLM: OpenAI-compatible chat completions from the corpus's own knowledge, so that laptops
and CI can run a CurationJob without a model. It knows the corpus's questions and nothing else, and calls itself
`stand-in-teacher`. Run as `python -m reasoner_local.teacher --host H --port P` by the embedded cluster."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import re
import time
import uuid
from typing import Any

from aiohttp import web

from reasoner_local.teacher_knowledge import Knowledge, tokens

log = logging.getLogger(__name__)

MODEL = "stand-in-teacher"
KNOWLEDGE = web.AppKey("knowledge", Knowledge)
LATENCY = web.AppKey("latency", float)

_TAG = r"<{0}(?:\s[^>]*)?>\n?(.*?)\n?</{0}>"


def make_app(latency_seconds: float = 0.0) -> web.Application:
    """The server; each completion takes `latency_seconds` more than it needs."""
    app = web.Application()
    app[KNOWLEDGE] = Knowledge.of_corpus()
    app[LATENCY] = latency_seconds
    app.add_routes([web.get("/v1/models", _models), web.post("/v1/chat/completions", _complete)])
    return app


async def _models(_: web.Request) -> web.Response:
    model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "reasoner-local"}
    return web.json_response({"object": "list", "data": [model]})


async def _complete(request: web.Request) -> web.Response:
    try:
        answer = completion(request.app[KNOWLEDGE], await request.json())
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        fault = {"message": f"bad request: {error!r}", "type": "invalid_request_error", "param": None, "code": None}
        return web.json_response({"error": fault}, status=400)
    await asyncio.sleep(request.app[LATENCY])
    return web.json_response(answer)


def completion(knowledge: Knowledge, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request's body. Raises KeyError, TypeError or ValueError where that is none."""
    prompt = "\n".join(str(message["content"]) for message in body["messages"] if message["role"] == "user")
    text = reply(knowledge, prompt, _schema_name(body), int(body.get("seed") or 0))
    asked, written = sum(tokens(str(message["content"])) for message in body["messages"]), tokens(text)
    message = {"role": "assistant", "content": text}
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written},
    }


def _schema_name(body: dict[str, Any]) -> str:
    """The name of the reply's schema, which tells the role; empty where free text is asked for."""
    form = body.get("response_format") or {}
    return str(form["json_schema"]["name"]) if form.get("type") == "json_schema" else ""


def reply(knowledge: Knowledge, prompt: str, schema: str, seed: int) -> str:
    """The completion for a user's prompt. Raises ValueError for a schema that belongs to no role."""
    if schema == "extraction":
        return json.dumps(knowledge.extraction(_tagged("question", prompt)), ensure_ascii=False)
    if schema == "annotation":
        return json.dumps(knowledge.annotation(_tagged("question", prompt)), ensure_ascii=False)
    if schema == "verdict":
        parts = (_tagged(name, prompt) for name in ("question", "ground_truth", "student_answer"))
        return json.dumps(knowledge.verdict(*parts), ensure_ascii=False)
    if not schema:
        return knowledge.solution(prompt, seed)
    raise ValueError(f"no role replies with {schema!r}")


def _tagged(name: str, prompt: str) -> str:
    found = re.search(_TAG.format(name), prompt, re.DOTALL)
    if found is None:
        raise ValueError(f"the prompt has no <{name}>")
    return found.group(1)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m reasoner_local.teacher", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that each completion takes at least")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    app = make_app(options.latency)
    log.info("a stand-in that knows %d questions, and no language model", len(app[KNOWLEDGE]))
    web.run_app(app, host=options.host, port=options.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
