"""The admission webhook: adds the registrar to pods that are labelled as model servers."""

__version__ = "0.1.0"
