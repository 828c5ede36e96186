"""`litellm-registrar list`: pods and rows side by side, with what differs."""
