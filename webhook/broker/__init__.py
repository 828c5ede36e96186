"""The broker: LiteLLM's admin API for registrars, by rules; it alone holds LiteLLM's key."""
