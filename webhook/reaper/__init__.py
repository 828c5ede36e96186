"""Removes from LiteLLM what a crash has left there: rows of this cluster whose pod is gone."""
