"""Certificates: an own authority, its leaf, their renewal with overlap, and serving by them without a gap."""
