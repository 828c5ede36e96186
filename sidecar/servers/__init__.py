"""Model servers: which models they serve, whether they are well, how much they have in flight."""

from sidecar.servers.server import ModelServer
from sidecar.servers.shapes import Ambiguous, Answer, Model, Observation, Refused

__all__ = ["Ambiguous", "Answer", "Model", "ModelServer", "Observation", "Refused"]
