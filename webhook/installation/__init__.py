"""What an installation is asked by hand or by its chart: whether it works, and to leave nothing behind."""
