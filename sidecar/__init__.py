"""The registrar: keeps the rows of one pod's model server true in LiteLLM."""

__version__ = "0.1.0"
