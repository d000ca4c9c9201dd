"""What a Job at work stands on, where somebody has deleted it: made again as it was, from what the Job itself carries.
The spec will not do: profiles, images and references may have changed since. Called by `plan`; pure."""

from __future__ import annotations

from reasoner_operator import naming
from reasoner_operator.plan.job import config_map, headless_service, shared_metadata
from reasoner_operator.plan.standing import is_ended
from reasoner_operator.seen import Object, Seen


def restored(seen: Seen) -> tuple[Object, ...]:
    """The Job's ConfigMap and its headless Service, if they are not there: its next pods could not start."""
    job = seen.job
    text = (job or {"metadata": {}})["metadata"].get("annotations", {}).get(naming.ANNOTATION_TASK)
    if job is None or text is None or is_ended(job):
        return ()
    name = job["metadata"]["name"]
    metadata = shared_metadata(seen, name, job["metadata"]["annotations"][naming.ANNOTATION_DIGEST])
    wanted = [config_map(metadata, text)]
    if job["spec"]["template"]["spec"].get("subdomain") == name:
        wanted.append(headless_service(metadata))
    return tuple(item for item in wanted if f"{item['kind']}/{name}" not in seen.children)
