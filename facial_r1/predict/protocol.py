"""The protocol that pictures without a dataset are asked and read by: the job's; of a mix, what its parts say together."""

from __future__ import annotations

from facial_r1.config.schema import Job
from facial_r1.data.owned import joint_protocol, protocol_of
from facial_r1.data.protocol import Protocol, load_protocol


def protocol_of_job(job: Job) -> Protocol:
    """Label space and action units of a job without reading its data.

    Raises:
        InputError: There is no such protocol.
    """
    parts = [protocol_of(job.data, source) for source in job.data.sources]
    if len({part.name for part in parts}) < 2:
        return parts[0] if parts and job.data.protocol.name in (None, "generic") else load_protocol(job.data.protocol)
    return joint_protocol(job.data, parts, any(not part.action_units for part in parts))
