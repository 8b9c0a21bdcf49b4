"""`facial-r1 serve`: a run's model behind an OpenAI-compatible server."""
