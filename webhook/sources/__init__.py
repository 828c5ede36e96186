"""What a container's command line, environment and image say of the model server in it."""
