"""The Kubernetes API: the only package that knows its client.

Objects come and go as the raw JSON of the API server; the client's typed models drop every field newer than
themselves.
"""
