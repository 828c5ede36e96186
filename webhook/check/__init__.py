"""`webhook check`: the webhook's own engine on manifests, and on what lives in a cluster."""
