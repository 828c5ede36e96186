"""Model servers: which models they serve, whether they are well, how much they have in flight.

Nothing is imported here, so that pure modules can use `shapes` without the HTTP client.
"""
