"""What the webhook's leader looks after: pods that live, and what the policy says of what lives."""
